"""Small byte-level BPE tokenizers in the three forms that users meet, trained with the `tokenizers` package, and what
they make of some texts.

gpt2   ByteLevel with its own pattern; <|endoftext|> is the last entry of the vocabulary
llama  Split with the Llama 3 pattern, then ByteLevel; the post-processor puts bos first; the ChatML template in
       tokenizer_config.json begins with it too
qwen2  NFC, Split with the Qwen 2 pattern, then ByteLevel; no bos; ChatML template in chat_template.jinja
"""

import json

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

VOCABULARY = 384

LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")

SPECIAL = {"gpt2": ["<|endoftext|>"], "llama": ["<|begin_of_text|>", "<|im_start|>", "<|im_end|>"], "qwen2": ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]}

CHATML = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
    "{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] | trim + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

CORPUS = """The gradient of the loss with respect to the weights is computed by the chain rule, layer after layer.
A layer is a function of its input and its weights; the network is the layers one after another.
She said that it's not the model that's wrong, it's the data: they've been read twice, and we'll read them again.
In 2017 the attention layer took the place of the recurrent layer; by 2020 models had 175000000000 weights.
function add(a, b) {\n    return a + b;\n}\nfor (let i = 0; i < 10; i++) {\n    console.log(add(i, 1));\n}
Der Fluß fließt über die Brücke. L'été, les élèves déjeunent à la cantine. El niño comió una piña.
What is the weight of the whole? The whole is the sum of the parts, and the parts are weighed one by one.
The the the and and of of to to in in is is that that it it was was for for on on are are with with as as.
"""

TEXTS = [
    "",
    "The gradient of the loss",
    "  two spaces,\ttab\n\nand lines \n",
    "It's 2017, they've 12345 weights; WE'LL see",
    "for (let i = 0; i < 10; i++) {\n    console.log(i);\n}",
    "Der Fluß, l'été, piña",
    "cafe\u0301 and caf\u00e9",
    "漢字かな 한국어 🙂👩‍👩‍👧 \u00a0\u200b",
    "<|im_start|>user\nhello<|im_end|>\n",
    "a<|endoftext|>b",
]

CHATS = [
    [{"role": "user", "content": "  What is a layer? "}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hello! What is it?"}, {"role": "user", "content": "It's the loss."}],
]


def splitter(kind):
    if kind == "gpt2":
        return pre_tokenizers.ByteLevel(add_prefix_space=False)
    split = pre_tokenizers.Split(Regex(LLAMA3 if kind == "llama" else QWEN2), "isolated")
    return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def train(kind):
    special = SPECIAL[kind]
    tokenizer = Tokenizer(models.BPE())
    if kind == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = splitter(kind)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY - len(special), initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([CORPUS], trainer)
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in special])
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    if kind == "llama":
        bos = (special[0], tokenizer.token_to_id(special[0]))
        first = processors.TemplateProcessing(single=f"{bos[0]} $A", pair=f"{bos[0]} $A {bos[0]}:1 $B:1", special_tokens=[bos])
        tokenizer.post_processor = processors.Sequence([tokenizer.post_processor, first])
    assert tokenizer.get_vocab_size() == VOCABULARY, f"{kind}: {tokenizer.get_vocab_size()} entries, wanted {VOCABULARY}"
    return tokenizer


def settings(kind, tokenizer):
    special = SPECIAL[kind]
    added = {str(tokenizer.token_to_id(t)): {"content": t, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True} for t in special}
    names = {"gpt2": {"bos_token": special[0], "unk_token": special[0]}, "llama": {"bos_token": special[0]}, "qwen2": {"bos_token": None, "pad_token": special[0], "unk_token": None}}[kind]
    return {
        "add_prefix_space": False,
        "added_tokens_decoder": added,
        **names,
        **({"chat_template": "{{ bos_token }}" + CHATML} if kind == "llama" else {}),
        "clean_up_tokenization_spaces": False,
        "eos_token": special[-1],
        "model_max_length": 48 if kind == "gpt2" else 64,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_tokenizer(kind, folder):
    """The tokenizer's files, and tokens.json: {"texts": [{text, ids, ids_without_special, decoded}], "chats": [{messages,
    add_generation_prompt, text, ids}]}, from transformers' AutoTokenizer on those files. `decoded` keeps special tokens."""
    from transformers import AutoTokenizer

    tokenizer = train(kind)
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", settings(kind, tokenizer))
    if kind == "qwen2":
        (folder / "chat_template.jinja").write_text(CHATML)
    auto = AutoTokenizer.from_pretrained(folder)
    texts = []
    for text in TEXTS:
        ids = auto(text)["input_ids"]
        assert ids == tokenizer.encode(text).ids, f"{kind}: transformers and tokenizers disagree on {text!r}"
        texts.append({"text": text, "ids": ids, "ids_without_special": auto(text, add_special_tokens=False)["input_ids"], "decoded": auto.decode(ids)})
    chats = []
    for messages in CHATS if auto.chat_template else []:
        for prompt in (False, True):
            text = auto.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt)
            ids = auto.apply_chat_template(messages, tokenize=True, add_generation_prompt=prompt, return_dict=False)
            chats.append({"messages": messages, "add_generation_prompt": prompt, "text": text, "ids": ids})
    write_json(folder / "tokens.json", {"texts": texts, "chats": chats})

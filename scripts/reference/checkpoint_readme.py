"""The README of test/golden/checkpoints."""

TEXT = """# Reference checkpoints

Tiny random checkpoints in the layout of the Hugging Face hub, with what the real implementation computes from them.
Written by `scripts/reference/checkpoints.py` with {versions}.
Every number comes from the model class of `transformers`, loaded from the very files in the folder (attention `eager`,
float32, weights of other dtypes rounded first). The same versions write the same bytes again.

Weights are normal with standard deviation 1 / sqrt(width), tables with a row per token 0.3 (Gemma's 0.2), gains
1 + 0.2 n (Gemma's, stored less 1: 0.2 n), biases 0.2 n. The script checks that float32 lies within 2e-6 of float64
(relative to the largest logit), and that what a case is there for changes its logits.

| file | what |
| --- | --- |
| `config.json`, `generation_config.json` | as on the hub: keys of transformers 4.x, or of 5 where the list says so |
| `model.safetensors`, or shards and `model.safetensors.index.json` | the weights |
| `reference.safetensors` | see below |
| `gradients.safetensors` | gradient of the mean next-token cross-entropy of `input_ids` (logits `[:, :-1]` against ids `[:, 1:]`), named as the parameters, and that `loss`. A tied matrix has one gradient, the sum over both uses. |
| `tokenizer.json`, `tokenizer_config.json`, `chat_template.jinja` | a byte-level BPE with 384 entries |
| `tokens.json` | what `AutoTokenizer` makes of some texts and chats |

| tensor of `reference.safetensors` | shape | what |
| --- | --- | --- |
| `input_ids` | int32 [2, T] | |
| `logits` | [2, T, vocabulary] | |
| `hidden_states.<l>` | [2, T, width] | l = 0: embeddings (positions added, scaled); l: output of block l; **the last: after the final norm** |
| `one.input_ids`, `one.logits` | int32 [2, 1], [2, 1, vocabulary] | T = 1 |
| `prompt`, `generated` | int32 [2, 8], int32 [2, 24] | greedy continuation, with a cache and without one the same (but for the row below); it meets no end token, and each choice leads by more than 1e-3 of the largest logit |
| `generated_uncached` | int32 [2, 24] | only `llama-dynamic`, whose rotary frequencies depend on the length: without a cache, each step computes all keys anew with the frequencies of the present length; in a cache keys keep those they were made with |
| `ending.prompt`, `ending.generated` | int32 [1, 8], int32 [1, n] | only `llama-chat`: a continuation that stops, end token included, at one that only `generation_config.json` names |

`llama-dynamic`: the length is that of the whole text so far. transformers remembers the longest length a model has seen
and goes back only below `max_position_embeddings`; these numbers come from a fresh model each.

`phi3-longrope`: short factors while the whole text has at most `original_max_position_embeddings` tokens, long ones
for every position beyond that. `generated` is without a cache: it crosses that length, and there transformers 5.18 with
a cache drops what came before (it empties the cache, and still passes the last token only).

A string `source` in the metadata names versions and class.

{cases}
"""


def write_readme(path, cases, versions):
    rows = ["| case | what |", "| --- | --- |", *(f"| `{name}` | {case['about']} |" for name, case in cases.items())]
    using = ", ".join(f"{name} {version}" for name, version in versions.items())
    path.write_text(TEXT.format(versions=using, cases="\n".join(rows)))

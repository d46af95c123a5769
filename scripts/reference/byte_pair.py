#!/usr/bin/env python3
"""Reference merges and ids of byte-level byte-pair tokenizers, from Hugging Face's `tokenizers` (pip install tokenizers).

Reads test/golden/tokenizers/text.txt and writes test/golden/tokenizers/<split>.json for the splits "gpt2" and "llama3":

  vocabulary    tokens asked for
  specials      special tokens, numbered first
  merges        [[left, right], …] in order
  samples       [[text, ids], …] of strings that exercise spaces, digits, contractions, emoji and controls

Run:  python3 scripts/reference/byte_pair.py            writes the files
      python3 scripts/reference/byte_pair.py TEXT SPLIT VOCABULARY OUTPUT   tokenizer.json of another text, to compare
"""

import json
import sys
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SPECIALS = ["<|endoftext|>", "<|pad|>"]
SAMPLES = [
    "Hello world",
    "  two  spaces and a tab\t\tend  ",
    "line\r\nfeed\n\n\n  indented",
    "it's IT'S we'll they've I'm",
    "12345678 3.14159 1e-5",
    "naïve café 語の言葉 привет مرحبا",
    "👩‍👩‍👧‍👦 🙂🙂 e\u0301",
    "\u0000\u0001\u007f",
    "interface Array<T> { readonly length: number; }",
    "before<|endoftext|>after",
]


def trained(text, split, vocabulary, specials):
    tokenizer = Tokenizer(models.BPE())
    bytes_only = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = {
        "gpt2": pre_tokenizers.ByteLevel(add_prefix_space=False),
        "llama3": pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3), "isolated"), bytes_only]),
    }[split]
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([text], trainer)
    return tokenizer


def main():
    if len(sys.argv) == 5:
        text, split, vocabulary, output = sys.argv[1:]
        trained(Path(text).read_bytes().decode(), split, int(vocabulary), SPECIALS).save(output)
        return
    folder = Path(__file__).resolve().parents[2] / "test" / "golden" / "tokenizers"
    text = (folder / "text.txt").read_bytes().decode()
    for split in ["gpt2", "llama3"]:
        tokenizer = trained(text, split, 1000, SPECIALS)
        golden = {
            "vocabulary": 1000,
            "specials": SPECIALS,
            "merges": json.loads(tokenizer.to_str())["model"]["merges"],
            "samples": [[sample, tokenizer.encode(sample).ids] for sample in SAMPLES],
        }
        (folder / f"{split}.json").write_text(json.dumps(golden, ensure_ascii=False, separators=(",", ":")) + "\n")


main()

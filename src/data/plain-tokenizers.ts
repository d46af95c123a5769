/**
 * Tokens of bytes and of characters as a tokenizer.json, so that a model trained on them opens like any other: a
 * byte-pair vocabulary without merges.
 */
import { tokenOfBytes } from "./byte-alphabet.js";
import type { TokenizerFile } from "./tokenizer-file.js";

/** Every byte of the UTF-8 text is the token of its number, 0 to 255. */
export function byteTokenizerFile(): TokenizerFile {
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
  const tokens = Array.from({ length: 256 }, (_, byte) => tokenOfBytes(Uint8Array.of(byte)));
  return file(tokens, { pre_tokenizer: byteLevel, decoder: byteLevel });
}

/** Every code point is a token, numbered as in the list. Others are not in the vocabulary and have no id. */
export const characterTokenizerFile = (characters: readonly string[]): TokenizerFile =>
  file(characters, {
    // Each character by itself: long texts without this would be one word.
    pre_tokenizer: { type: "Split", pattern: { Regex: "[\\s\\S]" }, behavior: "Isolated", invert: false },
    decoder: { type: "Fuse" },
  });

const file = (
  tokens: readonly string[],
  { pre_tokenizer, decoder }: Pick<TokenizerFile, "pre_tokenizer" | "decoder">,
): TokenizerFile => ({
  version: "1.0",
  truncation: null,
  padding: null,
  added_tokens: [],
  normalizer: null,
  pre_tokenizer,
  post_processor: null,
  decoder,
  model: {
    type: "BPE",
    dropout: null,
    unk_token: null,
    continuing_subword_prefix: null,
    end_of_word_suffix: null,
    fuse_unk: false,
    byte_fallback: false,
    ignore_merges: false,
    vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
    merges: [],
  },
});

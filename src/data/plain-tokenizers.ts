/**
 * Tokens of bytes and of characters as a tokenizer.json, so that a model trained on them opens like any other: a
 * byte-pair vocabulary without merges.
 */
import { tokenOfBytes } from "./byte-alphabet.js";
import { bytePairFile } from "./byte-pair-file.js";
import type { TokenizerFile } from "./tokenizer-file.js";

/** Every byte of the UTF-8 text is the token of its number, 0 to 255. */
export function byteTokenizerFile(): TokenizerFile {
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
  const tokens = Array.from({ length: 256 }, (_, byte) => tokenOfBytes(Uint8Array.of(byte)));
  return bytePairFile({ tokens, pre_tokenizer: byteLevel, decoder: byteLevel });
}

/** Every code point is a token, numbered as in the list. Others are not in the vocabulary and have no id. */
export const characterTokenizerFile = (characters: readonly string[]): TokenizerFile =>
  bytePairFile({
    tokens: characters,
    // Each character by itself: long texts without this would be one word.
    pre_tokenizer: { type: "Split", pattern: { Regex: "[\\s\\S]" }, behavior: "Isolated", invert: false },
    decoder: { type: "Fuse" },
  });

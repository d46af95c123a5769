import type { AddedToken, TokenizerFile } from "./tokenizer-file.js";

export interface BytePairParts extends Pick<TokenizerFile, "pre_tokenizer" | "decoder"> {
  /** In the order of their ids. */
  readonly tokens: readonly string[];
  readonly merges?: readonly (readonly [string, string])[];
  readonly added?: readonly AddedToken[];
}

/** A tokenizer.json of byte-pair tokens, with every key that Hugging Face writes. */
export function bytePairFile({ tokens, merges = [], added = [], ...steps }: BytePairParts): TokenizerFile {
  // No prototype: "__proto__" may well be a token.
  const vocab: Record<string, number> = Object.create(null);
  for (const [id, token] of tokens.entries()) vocab[token] = id;
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: added,
    normalizer: null,
    pre_tokenizer: steps.pre_tokenizer,
    post_processor: null,
    decoder: steps.decoder,
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab,
      merges,
    },
  };
}

import { fail } from "../tensor/errors.js";
import { checkWhole } from "./batches.js";
import { characterOfByte } from "./byte-alphabet.js";
import { bytePairFile } from "./byte-pair-file.js";
import { PairMerges } from "./pair-merges.js";
import { splitPatterns, type WordSplit } from "./split-words.js";
import type { TokenizerFile } from "./tokenizer-file.js";
import { WordCounts } from "./word-counts.js";

export interface BytePairOptions {
  /** Tokens in all: the specials, 256 bytes, and merges. A text with too few repetitions gives fewer. */
  vocabulary: number;
  /** Tokens that stand for no text, numbered first: "<|endoftext|>", … */
  specials?: readonly string[];
  /** A pair that occurs less often is not merged. Default 2. */
  minFrequency?: number;
  /** How text is cut into words before merging. Default "gpt2"; "llama3" keeps digits in threes. */
  split?: WordSplit;
  onProgress?: (progress: BytePairProgress) => void;
  /** Stops with the signal's own error. */
  signal?: AbortSignal;
}

export type BytePairProgress =
  | { readonly phase: "counting"; readonly characters: number; readonly words: number }
  | { readonly phase: "merging"; readonly tokens: number; readonly vocabulary: number };

/**
 * Trains a byte-level byte-pair tokenizer as GPT-2's and returns its tokenizer.json (write it with `JSON.stringify`).
 *
 *   const file = await trainBytePair(["low lower lowest …"], { vocabulary: 8192, specials: ["<|endoftext|>"] });
 *   const tokenizer = Tokenizer.from(file);
 *
 * Every chunk is a text of its own: words do not continue from one to the next. Memory grows with the number of
 * different words, not with the text. The result is a function of text and options alone, and its merges are those of
 * Hugging Face's `BpeTrainer` with `initial_alphabet=ByteLevel.alphabet()`.
 *
 * Sources: Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units", 2016; Radford et al.,
 * "Language Models are Unsupervised Multitask Learners", 2019 (bytes as the alphabet).
 *
 * @throws LayerwiseError "argument" for options out of range.
 */
export async function trainBytePair(
  chunks: Iterable<string> | AsyncIterable<string>,
  options: BytePairOptions,
): Promise<TokenizerFile> {
  const { vocabulary, specials = [], minFrequency = 2, split = "gpt2", onProgress, signal } = options;
  checkOptions(options);
  const breath = breather(signal);
  const counted = new WordCounts(split);
  let characters = 0;
  // A string is iterable too, but by character.
  for await (const chunk of typeof chunks === "string" ? [chunks] : chunks) {
    counted.add(chunk);
    characters += chunk.length;
    if (await breath()) onProgress?.({ phase: "counting", characters, words: counted.words.length });
  }
  signal?.throwIfAborted();
  const tokens = new TokenList(specials);
  const { symbols, lengths } = symbolsOf(counted.words, tokens.bytes);
  const pairs = new PairMerges(symbols, lengths, counted.counts);
  // A pair merged twice (its token made anew in another way) keeps its later place, as in the reference.
  const merges = new Map<number, readonly [string, string]>();
  while (tokens.list.length < vocabulary) {
    const best = pairs.next(minFrequency);
    if (!best) break;
    const parts = [tokens.list[best.left] as string, tokens.list[best.right] as string] as const;
    merges.delete(best.pair);
    merges.set(best.pair, parts);
    pairs.merge(best, tokens.add(parts[0] + parts[1]));
    if (await breath()) onProgress?.({ phase: "merging", tokens: tokens.list.length, vocabulary });
  }
  onProgress?.({ phase: "merging", tokens: tokens.list.length, vocabulary });
  return tokenizerFile(tokens, specials, [...merges.values()], split);
}

/** Tokens in the order of their ids: specials, the byte alphabet by character code, merges. */
class TokenList {
  readonly list: string[] = [];
  /** Byte -> id. */
  readonly bytes: Int32Array;
  private readonly ids = new Map<string, number>();

  constructor(specials: readonly string[]) {
    for (const special of specials) this.add(special);
    for (const code of characterOfByte.slice().sort()) this.add(String.fromCharCode(code));
    this.bytes = Int32Array.from(characterOfByte, (code) => this.add(String.fromCharCode(code)));
  }

  /** The token's id, a new one if it is new. */
  add(token: string): number {
    const known = this.ids.get(token);
    if (known !== undefined) return known;
    this.ids.set(token, this.list.length);
    return this.list.push(token) - 1;
  }
}

function symbolsOf(words: readonly string[], idOfByte: Int32Array): { symbols: Int32Array; lengths: Int32Array } {
  const encoder = new TextEncoder();
  const lengths = Int32Array.from(words, (word) => encoder.encode(word).length);
  const symbols = new Int32Array(lengths.reduce((sum, length) => sum + length, 0));
  let at = 0;
  for (const word of words) for (const byte of encoder.encode(word)) symbols[at++] = idOfByte[byte] as number;
  return { symbols, lengths };
}

const splitters: Readonly<Record<WordSplit, unknown>> = {
  gpt2: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
  llama3: {
    type: "Sequence",
    pretokenizers: [
      { type: "Split", pattern: { Regex: splitPatterns.llama3 }, behavior: "Isolated", invert: false },
      { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
    ],
  },
};

function tokenizerFile(
  { list }: TokenList,
  specials: readonly string[],
  merges: readonly (readonly [string, string])[],
  split: WordSplit,
): TokenizerFile {
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
  return bytePairFile({
    tokens: list,
    merges,
    added: specials.map((content, id) => ({ id, content, ...flags })),
    pre_tokenizer: splitters[split],
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
  });
}

function checkOptions({ vocabulary, specials = [], minFrequency = 2, split = "gpt2" }: BytePairOptions): void {
  checkWhole("vocabulary", vocabulary, specials.length + 256, "trainBytePair");
  checkWhole("minFrequency", minFrequency, 1, "trainBytePair");
  if (!Object.hasOwn(splitters, split))
    fail("argument", `trainBytePair: split is ${JSON.stringify(split)}; expected "gpt2" or "llama3"`);
  const twice = specials.find((special, i) => special === "" || specials.indexOf(special) !== i);
  if (twice !== undefined)
    fail("argument", `trainBytePair: the special token ${JSON.stringify(twice)} is empty or given twice`);
}

const breathMilliseconds = 50;

/** Lets timers, signals and drawing have their turn now and then; true when it did. */
function breather(signal: AbortSignal | undefined): () => Promise<boolean> {
  let last = performance.now();
  return async () => {
    if (performance.now() - last < breathMilliseconds) return false;
    await new Promise((resolve) => setTimeout(resolve, 0));
    signal?.throwIfAborted();
    last = performance.now();
    return true;
  };
}

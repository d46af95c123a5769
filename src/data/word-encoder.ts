import { BytePairEncoder } from "./byte-pair-encoder.js";
import { type SplitConfig, SplitPreTokenizer } from "./hugging-face.js";
import { ownString, wordExpression } from "./split-words.js";
import type { AddedToken, TokenizerFile } from "./tokenizer-file.js";

const longestKept = 64;
const wordsKept = 1 << 17;

/**
 * Encoding by remembered words, for byte-level tokenizers without a normalizer: a word's ids do not depend on its
 * neighbours, and text repeats its words. Long words and those with a byte that has no token are left to the library.
 * On real text this is about ten times as fast.
 */
export class WordEncoder {
  private readonly known = new Map<string, readonly number[]>();
  private merges: BytePairEncoder | undefined;

  private constructor(
    private readonly expression: RegExp,
    private readonly added: RegExp | undefined,
    private readonly idOfAdded: ReadonlyMap<string, number>,
    private readonly encodeText: (text: string) => readonly number[],
    private readonly model: TokenizerFile["model"],
  ) {}

  /** Undefined when the tokenizer is of another kind. */
  static of(file: TokenizerFile, encodeText: (text: string) => readonly number[]): WordEncoder | undefined {
    const expression = file.normalizer === null ? expressionOf(file.pre_tokenizer) : undefined;
    if (!expression || file.model.type !== "BPE" || file.added_tokens.some(reachesOut)) return undefined;
    const idOfAdded = new Map(file.added_tokens.map(({ content, id }) => [content, id]));
    return new WordEncoder(expression, alternatives([...idOfAdded.keys()]), idOfAdded, encodeText, file.model);
  }

  encode(text: string): number[] {
    const ids: number[] = [];
    let start = 0;
    if (this.added)
      for (const match of text.matchAll(this.added)) {
        this.encodePlain(text.slice(start, match.index), ids);
        ids.push(this.idOfAdded.get(match[0]) as number);
        start = match.index + match[0].length;
      }
    this.encodePlain(start === 0 ? text : text.slice(start), ids);
    return ids;
  }

  private encodePlain(text: string, ids: number[]): void {
    const words = text.match(this.expression) ?? [];
    // A pattern that leaves text between its matches is the library's to follow.
    const isWhole = words.reduce((sum, { length }) => sum + length, 0) === text.length;
    for (const word of isWhole ? words : []) for (const id of this.known.get(word) ?? this.learn(word)) ids.push(id);
    if (!isWhole) for (const id of this.encodeText(text)) ids.push(id);
  }

  private learn(word: string): readonly number[] {
    if (word.length > longestKept) return this.encodeText(word);
    this.merges ??= new BytePairEncoder(this.model);
    const ids = this.merges.encode(word) ?? this.encodeText(word);
    if (this.known.size >= wordsKept) this.known.clear();
    this.known.set(ownString(word), ids);
    return ids;
  }
}

/** Tokens that take in the spaces around them, or stand only between words. */
const reachesOut = ({ lstrip, rstrip, single_word }: AddedToken): boolean => Boolean(lstrip || rstrip || single_word);

/** At each place the longest added token wins. */
function alternatives(contents: readonly string[]): RegExp | undefined {
  if (contents.length === 0) return undefined;
  const escaped = contents
    .toSorted((a, b) => b.length - a.length)
    .map((content) => content.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"));
  return new RegExp(escaped.join("|"), "g");
}

/** The expression for words, where words are all that is cut and every character falls into one. */
function expressionOf(section: unknown): RegExp | undefined {
  const { type, use_regex = true, add_prefix_space, pretokenizers } = (section ?? {}) as ByteLevel & Sequence;
  if (type === "ByteLevel") return use_regex && !add_prefix_space ? wordExpression("gpt2") : undefined;
  if (type !== "Sequence" || pretokenizers?.length !== 2) return undefined;
  const [split, bytes] = pretokenizers as [SplitConfig, ByteLevel];
  if (split.type !== "Split" || split.behavior !== "Isolated" || split.invert) return undefined;
  if (bytes.type !== "ByteLevel" || bytes.use_regex !== false || bytes.add_prefix_space) return undefined;
  return new SplitPreTokenizer(split).pattern ?? undefined;
}

type ByteLevel = { type?: string; use_regex?: boolean; add_prefix_space?: boolean };
type Sequence = { pretokenizers?: readonly unknown[] };

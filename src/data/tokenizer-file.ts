import { fail } from "../tensor/errors.js";

/** A tokenizer.json of Hugging Face's `tokenizers`, as far as it is looked at here; the rest is passed on. */
export interface TokenizerFile {
  readonly added_tokens: readonly AddedToken[];
  readonly normalizer: unknown;
  readonly pre_tokenizer: unknown;
  readonly post_processor: unknown;
  readonly decoder: unknown;
  readonly model: TokenizerModel;
  readonly [key: string]: unknown;
}

export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special?: boolean;
  readonly [key: string]: unknown;
}

export interface TokenizerModel {
  readonly type: "BPE" | "WordPiece" | "Unigram";
  readonly vocab: Readonly<Record<string, number>> | readonly (readonly [string, number])[];
  readonly merges?: readonly (string | readonly [string, string])[];
  readonly [key: string]: unknown;
}

/** Gemma's file, the largest in use, has 33 million. */
export const maxFileCharacters = 128 * 1024 * 1024;
const maxTokens = 1 << 22;
const maxTokenLength = 4096;
const maxAdded = 1 << 16;
const maxDepth = 32;
const maxNodes = 1 << 20;

type Data = Readonly<Record<string, unknown>>;

/** JSON text -> data. @throws LayerwiseError "file" naming `where` when it is too long or not JSON. */
export function parseJson(text: string, where: string): unknown {
  if (text.length > maxFileCharacters)
    fail("file", `${where}: ${text.length} characters; expected at most ${maxFileCharacters}`);
  try {
    return JSON.parse(text.startsWith("\uFEFF") ? text.slice(1) : text);
  } catch (cause) {
    return fail("file", `${where}: not whole JSON (${cause instanceof Error ? cause.message : String(cause)})`, {
      cause,
    });
  }
}

/**
 * Checks everything a hostile file could use to crash, hang or deceive what reads it later: types, ids, merges that
 * lead nowhere, depth, patterns that backtrack without end, and replacements that multiply the text.
 *
 * @throws LayerwiseError "file" naming the file and the key.
 */
export function checkTokenizerFile(value: unknown, where: string): TokenizerFile {
  const place = new Place(where);
  const file = place.object(value, "the file");
  const model = checkModel(place.object(file.model, "model"), place);
  const added = checkAdded(file.added_tokens ?? [], tokenIds(model), place);
  const sections = Object.fromEntries(
    ["normalizer", "pre_tokenizer", "post_processor", "decoder"].map((key) => [key, checkSection(file, key, place)]),
  );
  return { ...file, ...sections, model, added_tokens: added } as TokenizerFile;
}

class Place {
  constructor(readonly where: string) {}

  refuse(key: string, message: string): never {
    return fail("file", `${this.where}: ${key}: ${message}`);
  }

  object(value: unknown, key: string): Data {
    if (typeof value !== "object" || value === null || Array.isArray(value))
      return this.refuse(key, `expected an object, got ${kind(value)}`);
    return value as Data;
  }

  array(value: unknown, key: string): readonly unknown[] {
    return Array.isArray(value) ? value : this.refuse(key, `expected a list, got ${kind(value)}`);
  }

  token(value: unknown, key: string): string {
    if (typeof value !== "string") return this.refuse(key, `expected text, got ${kind(value)}`);
    if (value.length > maxTokenLength)
      this.refuse(key, `a token of ${value.length} characters; expected at most ${maxTokenLength}`);
    return value;
  }

  id(value: unknown, key: string): number {
    if (!Number.isInteger(value) || (value as number) < 0 || (value as number) >= maxTokens)
      this.refuse(key, `the id is ${shown(value)}; expected a whole number from 0 to ${maxTokens - 1}`);
    return value as number;
  }
}

const kind = (value: unknown): string => (value === null ? "null" : Array.isArray(value) ? "a list" : typeof value);
const shown = (value: unknown): string => JSON.stringify(value)?.slice(0, 80) ?? "undefined";

function checkModel(model: Data, place: Place): TokenizerModel {
  const type = model.type ?? (model.merges === undefined ? undefined : "BPE");
  if (type !== "BPE" && type !== "WordPiece" && type !== "Unigram")
    place.refuse("model.type", `${shown(type)}; expected "BPE", "WordPiece" or "Unigram"`);
  const checked = { ...model, type } as TokenizerModel;
  const letters = model.max_input_chars_per_word ?? 100;
  if (!Number.isInteger(letters) || (letters as number) < 1 || (letters as number) > 10_000)
    place.refuse("model.max_input_chars_per_word", `${shown(letters)}; expected 1 to 10000`);
  if (type === "Unigram") checkUnigram(model, place);
  else checkVocabulary(place.object(model.vocab, "model.vocab"), place);
  if (type === "BPE") checkMerges(model, place);
  return checked;
}

function checkVocabulary(vocab: Data, place: Place): void {
  const byId = new Map<number, string>();
  for (const [token, id] of Object.entries(vocab)) {
    const key = `model.vocab[${shown(token)}]`;
    place.token(token, key);
    place.id(id, key);
    const other = byId.get(id as number);
    if (other !== undefined) place.refuse(key, `the id ${id} is that of ${shown(other)} too`);
    byId.set(id as number, token);
  }
  if (byId.size === 0) place.refuse("model.vocab", "it is empty");
}

function checkUnigram(model: Data, place: Place): void {
  const seen = new Set<string>();
  const vocab = place.array(model.vocab, "model.vocab");
  if (vocab.length === 0 || vocab.length > maxTokens)
    place.refuse("model.vocab", `${vocab.length} tokens; expected 1 to ${maxTokens}`);
  vocab.forEach((entry, i) => {
    const key = `model.vocab[${i}]`;
    const [token, score] = place.array(entry, key);
    if (seen.has(place.token(token, key))) place.refuse(key, `${shown(token)} occurs twice`);
    seen.add(token as string);
    if (typeof score !== "number") place.refuse(key, `the score is ${shown(score)}; expected a number`);
  });
  const unknown = model.unk_id ?? 0;
  if (!Number.isInteger(unknown) || (unknown as number) < 0 || (unknown as number) >= vocab.length)
    place.refuse("model.unk_id", `${shown(unknown)}; expected 0 to ${vocab.length - 1}`);
}

/** Both parts and what they make must be tokens; only without a prefix is it known what they make. */
function checkMerges(model: Data, place: Place): void {
  const vocab = model.vocab as Data;
  const merges = place.array(model.merges, "model.merges");
  const prefixed = Boolean(model.continuing_subword_prefix);
  const listed = Array.isArray(merges[0]);
  merges.forEach((merge, i) => {
    const key = `model.merges[${i}]`;
    if (Array.isArray(merge) !== listed) place.refuse(key, "some merges are lists and some are text");
    const parts = listed ? place.array(merge, key) : place.token(merge, key).split(" ");
    if (parts.length !== 2) place.refuse(key, `expected two tokens, got ${shown(merge)}`);
    const [left, right] = parts.map((part) => place.token(part, key)) as [string, string];
    for (const token of prefixed ? [left, right] : [left, right, left + right])
      if (!Object.hasOwn(vocab, token)) place.refuse(key, `${shown(token)} is not in model.vocab`);
  });
}

/** A token is written as text, or as an object with its flags. */
export function contentOf(value: unknown): string | undefined {
  const content = typeof value === "object" && value !== null ? (value as { content?: unknown }).content : value;
  return typeof content === "string" ? content : undefined;
}

/** Token of each id, before added tokens. */
export function tokenIds({ type, vocab }: TokenizerModel): Map<number, string> {
  const entries =
    type === "Unigram"
      ? (vocab as readonly (readonly [string, number])[]).map(([token], id) => [id, token] as const)
      : Object.entries(vocab as Record<string, number>).map(([token, id]) => [id, token] as const);
  return new Map(entries);
}

function checkAdded(value: unknown, byId: Map<number, string>, place: Place): readonly AddedToken[] {
  const added = place.array(value, "added_tokens");
  if (added.length > maxAdded) place.refuse("added_tokens", `${added.length} tokens; expected at most ${maxAdded}`);
  const ids = new Map<string, number>();
  added.forEach((entry, i) => {
    const key = `added_tokens[${i}]`;
    const { id, content } = place.object(entry, key);
    place.id(id, `${key}.id`);
    if (place.token(content, `${key}.content`) === "") place.refuse(`${key}.content`, "it is empty");
    const holder = byId.get(id as number) ?? content;
    if (holder !== content) place.refuse(`${key}.id`, `the id ${id} is that of ${shown(holder)} too`);
    if ((ids.get(content as string) ?? id) !== id) place.refuse(`${key}.content`, `${shown(content)} has two ids`);
    byId.set(id as number, content as string);
    ids.set(content as string, id as number);
  });
  return added as readonly AddedToken[];
}

function checkSection(file: Data, key: string, place: Place): unknown {
  const section = file[key] ?? null;
  if (section !== null) new SectionCheck(place).visit(place.object(section, key), key, 0);
  return section;
}

const maxPattern = 16_384;
const maxGrowth = 4096;

/** Walks normalizers, splitters, processors and decoders. */
class SectionCheck {
  private nodes = 0;
  /** How much longer all replacements together could make a text. */
  private growth = 1;
  constructor(private readonly place: Place) {}

  visit(value: unknown, key: string, depth: number): void {
    if (typeof value !== "object" || value === null) return;
    if (depth > maxDepth) this.place.refuse(key, `nested deeper than ${maxDepth} levels`);
    if (++this.nodes > maxNodes) this.place.refuse(key, `more than ${maxNodes} values`);
    for (const [name, part] of Object.entries(value)) {
      const path = `${key}.${name.slice(0, 80)}`;
      if (name === "__proto__" || name === "constructor" || name === "prototype")
        this.place.refuse(path, "this key is not allowed");
      if (name === "Regex") this.pattern(part, path);
      else if ((name === "content" || name === "prepend") && typeof part === "string") this.replacement(part, path);
      this.visit(part, path, depth + 1);
    }
  }

  private pattern(value: unknown, key: string): void {
    const pattern = this.place.token(value, key);
    if (pattern.length > maxPattern) this.place.refuse(key, `a pattern of ${pattern.length} characters`);
    if (backtracks(pattern)) this.place.refuse(key, "a repetition inside a repetition, which may never end; refused");
  }

  private replacement(content: string, key: string): void {
    this.growth *= Math.max(1, content.length);
    if (this.growth > maxGrowth)
      this.place.refuse(key, `replacements could make a text ${this.growth} times as long; at most ${maxGrowth}`);
  }
}

/**
 * Whether a group that may be repeated without limit holds a choice or a repetition of no fixed count: the patterns
 * that can take time exponential in the text. `(?:\d{3})+` is fine, `(a+)+`, `(a|b)*` and `(a?)*` are not.
 */
export function backtracks(pattern: string): boolean {
  const groups: boolean[] = [];
  let varies = false;
  let closed: boolean | undefined;
  for (let i = 0; i < pattern.length; i++) {
    const inner = closed;
    closed = undefined;
    const character = pattern[i] as string;
    if (character === "\\") i++;
    else if (character === "[") i = classEnd(pattern, i);
    else if (character === "(") {
      groups.push(varies);
      varies = false;
      // What follows "(?" says which group it is and repeats nothing.
      if (pattern[i + 1] === "?") i++;
    } else if (character === ")") {
      closed = varies;
      varies = groups.pop() === true || varies;
    } else if (character === "|") varies = groups.length > 0 || varies;
    else {
      const quantifier = /^(?:[*+?]|\{\d*,?\d*\})/.exec(pattern.slice(i, i + 24))?.[0];
      if (quantifier === undefined) continue;
      if (inner === true && /^[*+]$|,\}$/.test(quantifier)) return true;
      if (!/^\{\d+\}$/.test(quantifier)) varies = true;
      i += quantifier.length - 1;
    }
  }
  return false;
}

/** The place of the bracket that closes the class begun at `start`; classes nest. */
function classEnd(pattern: string, start: number): number {
  let depth = 0;
  for (let i = start; i < pattern.length; i++) {
    if (pattern[i] === "\\") i++;
    else if (pattern[i] === "[") depth++;
    else if (pattern[i] === "]" && --depth === 0) return i;
  }
  return pattern.length;
}

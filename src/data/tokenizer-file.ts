import { fail } from "../tensor/errors.js";
import { tooMuchJson } from "./json-bounds.js";
import { type Data, idLimit, Place, shown } from "./json-place.js";
import { SectionCheck } from "./tokenizer-sections.js";

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
const maxAdded = 1 << 16;

/** JSON text -> data. @throws LayerwiseError "file" naming `where` when it is too long or not JSON. */
export function parseJson(text: string, where: string): unknown {
  if (text.length > maxFileCharacters)
    fail("file", `${where}: ${text.length} characters; expected at most ${maxFileCharacters}`);
  const problem = tooMuchJson(text);
  if (problem !== undefined) fail("file", `${where}: ${problem}`);
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
  if (vocab.length === 0 || vocab.length > idLimit)
    place.refuse("model.vocab", `${vocab.length} tokens; expected 1 to ${idLimit}`);
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

import { isUtf8 } from "node:buffer";
import { fail, LayerwiseError } from "../tensor/errors.js";
import { failFile, openRegular } from "./disk.js";
import { gunzipChunks } from "./gzip-file.js";
import { tooMuchJson } from "./json-bounds.js";
import type { Listed } from "./list-files.js";
import type { DataRecord, LocatedRecord } from "./records.js";

/** One line holds one record: longer is a file of another kind, or an attack. */
export const maxLineBytes = 16 * 1024 * 1024;
/** A .json file is read whole, because its one array may be written on one line. */
const maxJsonBytes = 256 * 1024 * 1024;
/** Records are flat, or chats; JSON nests as deep as its bytes, and everything that walks it would overflow. */
const maxDepth = 64;

/** The bytes of a file, .gz unpacked on the way; memory stays the same whatever it weighs. */
export async function* chunksOf({ path, found }: Listed): AsyncGenerator<Uint8Array> {
  if (path.endsWith(".gz")) return yield* gunzipChunks(path, !found);
  const { handle } = await openRegular(path, { follow: !found });
  try {
    for await (const chunk of handle.createReadStream({ autoClose: false, highWaterMark: 1 << 18 }))
      yield chunk as Uint8Array;
  } catch (error) {
    failFile(path, "cannot be read", error);
  } finally {
    await handle.close();
  }
}

export interface Line {
  /** Counted from 1. */
  readonly number: number;
  /** Without a byte-order mark at the start of the file, with the line feed. */
  readonly bytes: Uint8Array;
}

/**
 * Lines cut at line feeds, each valid UTF-8, as many at a time as a read of the file gives.
 *
 * @throws LayerwiseError "file" naming file and line where one is longer than 16 MiB or not UTF-8.
 */
export async function* linesOf(file: Listed): AsyncGenerator<readonly Line[]> {
  let number = 1;
  let parts: Uint8Array[] = [];
  let length = 0;
  const refuse = (problem: string): never => fail("file", `${file.path}, line ${number}: ${problem}`);
  const take = (end: Uint8Array): Line => {
    // The commonest line of a bomb.
    if (end.length === 1 && length === 0) return { number: number++, bytes: lineFeed };
    const bytes = parts.length === 0 ? end : Buffer.concat([...parts, end]);
    [parts, length] = [[], 0];
    if (!isUtf8(bytes)) refuse("not valid UTF-8; convert the file");
    return { number: number++, bytes: number === 2 && startsWithMark(bytes) ? bytes.subarray(3) : bytes };
  };
  for await (const chunk of chunksOf(file)) {
    const lines: Line[] = [];
    let start = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      if (length + end - start > maxLineBytes) refuse(tooLong);
      lines.push(take(end === start ? lineFeed : chunk.subarray(start, end + 1)));
      start = end + 1;
    }
    if (start < chunk.length) parts.push(chunk.slice(start));
    length += chunk.length - start;
    if (length > maxLineBytes) refuse(tooLong);
    yield lines;
  }
  if (length > 0) yield [take(new Uint8Array())];
}

const lineFeed = Uint8Array.of(10);
const tooLong = `longer than ${maxLineBytes} bytes; expected one record a line`;
const startsWithMark = ([a, b, c]: Uint8Array): boolean => a === 0xef && b === 0xbb && c === 0xbf;

const decoder = new TextDecoder("utf-8", { fatal: true });

/** One JSON object a line; empty lines are passed over. */
export async function* jsonLines(file: Listed): AsyncGenerator<LocatedRecord> {
  for await (const lines of linesOf(file))
    for (const { number, bytes } of lines) {
      if (bytes.every((byte) => byte <= 32)) continue;
      const place = `${file.path}, line ${number}`;
      yield { record: checkedRecord(parseJson(decoder.decode(bytes), place), place), place };
    }
}

/** A file that is one JSON array of objects, read whole. */
export async function* jsonArray(file: Listed): AsyncGenerator<LocatedRecord> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of chunksOf(file)) {
    size += chunk.length;
    if (size > maxJsonBytes)
      fail("file", `${file.path}: more than ${maxJsonBytes} bytes of JSON; write one object a line as .jsonl instead`);
    chunks.push(chunk);
  }
  const bytes = Buffer.concat(chunks);
  if (!isUtf8(bytes)) fail("file", `${file.path}: not valid UTF-8; convert the file`);
  const records = parseJson(decoder.decode(bytes), file.path);
  if (!Array.isArray(records))
    fail("file", `${file.path}: expected a JSON array of objects; one object a line is .jsonl`);
  for (const [i, record] of (records as unknown[]).entries()) {
    const place = `${file.path}, record ${i + 1}`;
    yield { record: checkedRecord(record, place), place };
  }
}

function parseJson(text: string, place: string): unknown {
  const problem = tooMuchJson(text);
  if (problem !== undefined) fail("file", `${place}: ${problem}`);
  try {
    return JSON.parse(text);
  } catch (error) {
    const column = /position (\d+)/.exec(String(error))?.[1];
    return fail("file", `${place}${column === undefined ? "" : `, column ${Number(column) + 1}`}: not valid JSON`, {
      cause: error,
    });
  }
}

/**
 * A record from outside: an object, without keys that reach a prototype, at most 64 levels deep.
 *
 * @throws LayerwiseError "file" naming the place.
 */
export function checkedRecord(value: unknown, place: string): DataRecord {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    fail("file", `${place}: expected an object, got ${Array.isArray(value) ? "an array" : JSON.stringify(value)}`);
  check(value, place, 0);
  return value as DataRecord;
}

function check(value: unknown, place: string, depth: number): void {
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return;
  if (depth > maxDepth) fail("file", `${place}: nested deeper than ${maxDepth} levels`);
  if (Object.hasOwn(value, "__proto__")) fail("file", `${place}: the key "__proto__" is not allowed`);
  for (const inner of Array.isArray(value) ? value : Object.values(value)) check(inner, place, depth + 1);
}

/** `error` as a typed error that names the file; errors that already are typed are passed on. */
export function failRecord(path: string, problem: string, error: unknown): never {
  if (error instanceof LayerwiseError) throw error;
  return fail("file", `${path}: ${problem} (${error instanceof Error ? error.message : String(error)})`, {
    cause: error,
  });
}

/**
 * Records for fine-tuning: plain objects from JSON lines, JSON arrays, CSV, TSV and Parquet, one after the other.
 */
import { fail } from "../tensor/errors.js";
import { type Listed, listFiles } from "./list-files.js";
import { jsonArray, jsonLines } from "./record-lines.js";

export type DataRecord = Readonly<Record<string, unknown>>;

/** A record and where it stands ("chats.jsonl, line 12"), for errors about its content. */
export interface LocatedRecord {
  readonly record: DataRecord;
  readonly place: string;
}

const readers = {
  jsonl: async () => jsonLines,
  json: async () => jsonArray,
  // Loaded when asked for: most runs need neither parser.
  csv: async () => (await import("./record-csv.js")).csvRecords(","),
  tsv: async () => (await import("./record-csv.js")).csvRecords("\t"),
  parquet: async () => (await import("./record-parquet.js")).parquetRecords,
} satisfies Record<string, () => Promise<(file: Listed) => AsyncGenerator<LocatedRecord>>>;

export type RecordFormat = keyof typeof readers;
export const recordFormats = Object.keys(readers) as RecordFormat[];

export interface RecordOptions {
  /** Default: what each file's name ends in, `.gz` set aside. */
  readonly format?: RecordFormat;
}

/**
 * Records of a file, a folder (all files in it whose names end in a known format), a glob, or a list of these, in order
 * of name. Everything but `.json` is streamed; all but Parquet may be packed as `.gz`.
 *
 *   for await (const { prompt, completion } of readRecords("answers.jsonl")) …
 *
 * CSV needs a header; its values are text. Parquet integers of 64 bits become numbers where they are safe integers.
 *
 * @throws LayerwiseError "file" naming the file and line (record for Parquet and .json; column too for CSV) for what
 * cannot be read: broken syntax, invalid UTF-8, a line over 16 MiB, nesting over 64 levels, a "__proto__" key, a gzip
 * bomb; "argument" for an unknown format.
 */
export async function* readRecords(
  paths: string | readonly string[],
  options: RecordOptions = {},
): AsyncGenerator<DataRecord> {
  for await (const { record } of locatedRecords(paths, options)) yield record;
}

/** `readRecords` with the place of every record. */
export async function* locatedRecords(
  paths: string | readonly string[],
  { format }: RecordOptions = {},
): AsyncGenerator<LocatedRecord> {
  if (format !== undefined && !Object.hasOwn(readers, format))
    fail("argument", `records: format is ${JSON.stringify(format)}; expected one of ${recordFormats.join(", ")}`);
  const listed = await listFiles(typeof paths === "string" ? [paths] : paths);
  // A folder of a data set also holds its README and licence.
  const files = listed.filter(({ path, found }) => !found || format !== undefined || formatOf(path) !== undefined);
  if (files.length === 0) fail("file", `records: no ${recordFormats.join(", ")} files in ${JSON.stringify(paths)}`);
  for (const file of files) yield* (await readers[format ?? namedFormat(file.path)]())(file);
}

function formatOf(path: string): RecordFormat | undefined {
  const ending = /\.(\w+?)(\.gz)?$/i.exec(path)?.[1]?.toLowerCase();
  return recordFormats.find((format) => format === ending || (format === "jsonl" && ending === "ndjson"));
}

const namedFormat = (path: string): RecordFormat =>
  formatOf(path) ??
  fail("file", `${path}: expected a name that ends in .${recordFormats.join(", .")}; or give the format`);

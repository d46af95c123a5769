import type { FileHandle } from "node:fs/promises";
import { type FileMetaData, parquetMetadata, parquetReadObjects, parquetSchema, type SchemaTree } from "hyparquet";
import { fail } from "../tensor/errors.js";
import { openRegular, readFully } from "./disk.js";
import type { Listed } from "./list-files.js";
import { type Column, checkPages, compressors, maxValues } from "./parquet-pages.js";
import { checkedRecord, failRecord } from "./record-lines.js";
import type { LocatedRecord } from "./records.js";
import { walkThrift } from "./thrift-bounds.js";

const maxFooterBytes = 2 ** 26;
/** A row group is read whole. Writers make them of 128 MiB or less. */
const maxGroupBytes = 2 ** 30;

const decoder = new TextDecoder("utf-8", { fatal: true });
const parsers = {
  stringFromBytes: (bytes: Uint8Array | undefined) => bytes && decoder.decode(bytes),
  jsonFromBytes: (bytes: Uint8Array | undefined): unknown => bytes && JSON.parse(decoder.decode(bytes)),
};

/**
 * Records of a Parquet file, one row group in memory at a time. Counts, sizes and offsets are checked against the file
 * before the parser works with them.
 */
export async function* parquetRecords(file: Listed): AsyncGenerator<LocatedRecord> {
  const { path, found } = file;
  const { handle, size } = await openRegular(path, { follow: !found });
  try {
    const metadata = await readMetadata(handle, size, path);
    let first = 0;
    for (const group of metadata.row_groups.keys()) {
      const rows = await readGroup(handle, size, path, metadata, group, first);
      for (const [i, row] of rows.entries()) {
        const place = `${path}, record ${first + i + 1}`;
        yield { record: plain(checkedRecord(row, place)) as Record<string, unknown>, place };
      }
      first += rows.length;
    }
  } finally {
    await handle.close();
  }
}

async function readMetadata(handle: FileHandle, size: number, path: string): Promise<FileMetaData> {
  const tail = await readBytes(handle, Math.max(0, size - 8), size, path);
  const length = tail.length < 8 ? 0 : new DataView(tail.buffer).getUint32(0, true);
  if (size < 12 || String.fromCharCode(...tail.subarray(4)) !== "PAR1")
    fail("file", `${path}: not a Parquet file; expected it to end in PAR1`);
  if (length > Math.min(size - 12, maxFooterBytes))
    fail("file", `${path}: its footer claims ${length} bytes; the file has ${size}, and ${maxFooterBytes} are allowed`);
  const footer = await readBytes(handle, size - 8 - length, size, path);
  try {
    walkThrift(footer.subarray(0, length), 0);
    const metadata = parquetMetadata(footer, { parsers, geoparquet: false });
    if (metadata.schema.some(({ name }) => name === "__proto__"))
      fail("file", `${path}: a column named "__proto__" is not allowed`);
    return metadata;
  } catch (error) {
    return failRecord(path, "its footer cannot be read as Parquet", error);
  }
}

type Row = Record<string, unknown>;

async function readGroup(
  handle: FileHandle,
  size: number,
  path: string,
  metadata: FileMetaData,
  group: number,
  first: number,
): Promise<Row[]> {
  try {
    const rowGroup = metadata.row_groups[group] as FileMetaData["row_groups"][number];
    const columns = columnsOf(metadata, rowGroup);
    const ranges = columns.map((column) => rangeOf(column, size));
    const start = Math.min(...ranges.map(([from]) => from));
    const end = Math.max(...ranges.map(([, to]) => to));
    if (end - start > maxGroupBytes) throw new RangeError(`${end - start} bytes; expected at most ${maxGroupBytes}`);
    const bytes = await readBytes(handle, start, end, path);
    columns.forEach((column, i) => {
      const [from, to] = ranges[i] as [number, number];
      checkPages(bytes.subarray(from - start, to - start), column);
    });
    const only = { ...metadata, row_groups: [rowGroup] };
    const slice = (from: number, to = size): ArrayBuffer => {
      if (!(from >= start && to >= from && to <= end)) throw new RangeError(`bytes ${from} to ${to} outside the group`);
      return bytes.slice(from - start, to - start).buffer as ArrayBuffer;
    };
    const source = { byteLength: size, slice };
    return await parquetReadObjects({
      file: source,
      metadata: only,
      compressors,
      parsers,
      utf8: false,
      geoparquet: false,
    });
  } catch (error) {
    return failRecord(`${path}, row group ${group + 1} (from record ${first + 1})`, "cannot be read as Parquet", error);
  }
}

function columnsOf(metadata: FileMetaData, group: FileMetaData["row_groups"][number]): Column[] {
  const schema = parquetSchema(metadata);
  const rows = Number(group.num_rows);
  if (!(rows >= 0 && rows <= maxValues)) throw new RangeError(`${rows} rows; expected at most ${maxValues}`);
  if (group.columns.length === 0) throw new RangeError("no columns");
  return group.columns.map(({ meta_data: meta, file_path: elsewhere }) => {
    if (!meta || elsewhere) throw new RangeError("a column kept in another file");
    const path = pathOf(schema, meta.path_in_schema);
    // As the parser counts them: what is not marked as required may be missing.
    const definition = path.filter(({ element }) => element.repetition_type !== "REQUIRED").length;
    const repetition = [schema, ...path].filter(({ element }) => element.repetition_type === "REPEATED").length;
    return { meta, rows, repetition, definition };
  });
}

/** The nodes below the root that lead to a column. */
function pathOf(schema: SchemaTree, names: readonly string[]): SchemaTree[] {
  const path: SchemaTree[] = [];
  let node = schema;
  for (const name of names) {
    const child = node.children.find(({ element }) => element.name === name);
    if (!child) throw new RangeError(`a column ${names.join(".")} that the schema does not have`);
    node = child;
    path.push(node);
  }
  if (!node.element.type || node.children.length > 0) throw new RangeError(`${names.join(".")} is not a column`);
  return path;
}

function rangeOf({ meta }: Column, size: number): [start: number, end: number] {
  const start = Number(meta.dictionary_page_offset || meta.data_page_offset);
  const end = start + Number(meta.total_compressed_size);
  if (!(Number.isSafeInteger(start) && start >= 4 && end >= start && end <= size - 8))
    throw new RangeError(`the column ${meta.path_in_schema.join(".")} at bytes ${start} to ${end} of ${size}`);
  return [start, end];
}

async function readBytes(handle: FileHandle, start: number, end: number, path: string): Promise<Uint8Array> {
  const bytes = new Uint8Array(end - start);
  await readFully(handle, bytes, start, path);
  return bytes;
}

/** As JSON would have it: numbers for safe 64-bit integers, text for larger ones and for dates, null for nothing. */
function plain(value: unknown): unknown {
  if (value === undefined) return null;
  if (typeof value === "bigint") return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  if (ArrayBuffer.isView(value)) return Array.from(value as unknown as ArrayLike<unknown>, plain);
  if (Array.isArray(value)) return value.map(plain);
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
}

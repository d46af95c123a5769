/**
 * Checks the pages of a Parquet column chunk before the parser sees them: it trusts the counts in their headers and the
 * lengths of runs, so a file of a hundred bytes could ask for gigabytes.
 */
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { type ColumnMetaData, type Compressors, snappyUncompress } from "hyparquet";
import { decompressLz4, decompressLz4Raw, decompressZstd } from "hyparquet-compressors";
import { type ThriftFields, walkThrift } from "./thrift-bounds.js";

/** Values of one column in one row group. */
export const maxValues = 2 ** 24;
const maxPageBytes = 2 ** 28;

const bounded = (unpack: (input: Uint8Array, length: number) => Uint8Array) => (input: Uint8Array, length: number) => {
  if (!(length >= 0 && length <= maxPageBytes)) throw new RangeError(`a page of ${length} bytes`);
  return length === 0 ? new Uint8Array() : unpack(input, length);
};

/** Decompressors that make room for what the page's header says, and never for more. */
export const compressors = {
  SNAPPY: bounded((input, length) => {
    const output = new Uint8Array(length);
    snappyUncompress(input, output);
    return output;
  }),
  GZIP: bounded((input, length) => new Uint8Array(gunzipSync(input, { maxOutputLength: length }))),
  BROTLI: bounded((input, length) => new Uint8Array(brotliDecompressSync(input, { maxOutputLength: length }))),
  ZSTD: bounded((input, length) => decompressZstd(input, new Uint8Array(length))),
  LZ4: bounded(decompressLz4),
  LZ4_RAW: bounded(decompressLz4Raw),
} satisfies Compressors;

/** What decides how a column's pages are laid out. */
export interface Column {
  readonly meta: ColumnMetaData;
  readonly repetition: number;
  readonly definition: number;
  readonly rows: number;
}

const dictionaryEncodings = [2, 8];
const encodings = new Map([
  [0, "PLAIN"],
  [2, "PLAIN_DICTIONARY"],
  [3, "RLE"],
  [5, "DELTA_BINARY_PACKED"],
  [6, "DELTA_LENGTH_BYTE_ARRAY"],
  [8, "RLE_DICTIONARY"],
  [9, "BYTE_STREAM_SPLIT"],
]);

/** Throws RangeError for a chunk whose pages do not fit its bytes, its header or the limits. */
export function checkPages(chunk: Uint8Array, column: Column): void {
  const { meta, repetition, rows } = column;
  let values = 0;
  for (let offset = 0; offset < chunk.length - 1; ) {
    const { end, fields } = walkThrift(chunk, offset);
    const size = number(fields, 3, "compressed size");
    if (end + size > chunk.length) throw new RangeError("a page that ends after its column");
    const page = chunk.subarray(end, end + size);
    const type = number(fields, 1, "type");
    const length = number(fields, 2, "size");
    if (length > maxPageBytes) throw new RangeError(`a page of ${length} bytes`);
    if (type === 0) values += checkPage(unpack(page, length, meta.codec), struct(fields, 5), column);
    else if (type === 3) values += checkPageV2(page, length, struct(fields, 8), column);
    else if (type === 2) checkCount(number(struct(fields, 7), 1, "values"), Math.max(1, length));
    offset = end + size;
    if (values > Number(meta.num_values)) break;
  }
  if (values !== Number(meta.num_values) || (repetition === 0 && values !== rows))
    throw new RangeError(`${values} values in pages, ${meta.num_values} by the column's header, for ${rows} rows`);
}

function unpack(page: Uint8Array, length: number, codec: ColumnMetaData["codec"]): Uint8Array {
  if (codec === "UNCOMPRESSED") return page;
  const decompress = (compressors as Compressors)[codec];
  if (!decompress) throw new RangeError(`the codec ${codec}, which is not supported`);
  return decompress(page, length);
}

/** Version 1: repetition levels, definition levels, each with its length in front, and values, packed together. */
function checkPage(page: Uint8Array, header: ThriftFields, { repetition, definition, meta }: Column): number {
  const count = checkCount(number(header, 1, "values"), maxValues);
  const view = new DataView(page.buffer, page.byteOffset, page.byteLength);
  let offset = 0;
  for (const level of [repetition, definition]) {
    if (level === 0) continue;
    const end = offset + 4 + view.getUint32(offset, true);
    checkRuns(page.subarray(offset + 4, end), bitsOf(level), count);
    offset = end;
  }
  checkValues(page.subarray(offset), number(header, 2, "encoding"), count, meta);
  return count;
}

/** Version 2: levels are never compressed, and their lengths are in the header. */
function checkPageV2(page: Uint8Array, length: number, header: ThriftFields, column: Column): number {
  const { repetition, definition, meta } = column;
  const count = checkCount(number(header, 1, "values"), maxValues);
  checkCount(number(header, 3, "rows"), count);
  const [definitionBytes, repetitionBytes] = [number(header, 5, "levels"), number(header, 6, "levels")];
  const levels = definitionBytes + repetitionBytes;
  if (levels > page.length || levels > length) throw new RangeError("levels that end after their page");
  if (repetition > 0) checkRuns(page.subarray(0, repetitionBytes), bitsOf(repetition), count);
  if (definition > 0) checkRuns(page.subarray(repetitionBytes, levels), bitsOf(definition), count);
  const packed = header.get(7) !== 0 && page.length > levels;
  const values = packed ? unpack(page.subarray(levels), length - levels, meta.codec) : page.subarray(levels);
  checkValues(values, number(header, 4, "encoding"), count, meta);
  return count;
}

function checkValues(bytes: Uint8Array, encoding: number, count: number, { type }: ColumnMetaData): void {
  const name = encodings.get(encoding);
  if (name === undefined || (name === "BYTE_STREAM_SPLIT" && type === "FIXED_LEN_BYTE_ARRAY"))
    throw new RangeError(`the encoding ${name ?? encoding}, which is not supported`);
  if (dictionaryEncodings.includes(encoding)) checkRuns(bytes.subarray(1), bytes[0] ?? 0, count);
  if (name === "RLE") checkRuns(bytes.subarray(4), 1, count);
  if (name.startsWith("DELTA")) checkDelta(bytes);
}

/** Runs of the RLE/bit-packed hybrid: none longer than what there is to read. */
function checkRuns(bytes: Uint8Array, width: number, count: number): void {
  if (width > 32) throw new RangeError(`levels of ${width} bits`);
  let offset = 0;
  for (let seen = 0; seen < count && offset < bytes.length; ) {
    const [head, end] = varint(bytes, offset);
    const run = Math.floor(head / 2);
    if (head % 2 === 0 && run > count - seen)
      throw new RangeError(`a run of ${run} values where ${count - seen} are left`);
    if (head % 2 === 1 && run > count) throw new RangeError(`${run * 8} packed values where ${count - seen} are left`);
    offset = end + (head % 2 === 0 ? Math.ceil(width / 8) : run * width);
    seen += head % 2 === 0 ? run : run * 8;
  }
}

/** A block of deltas: its size and its parts. */
function checkDelta(bytes: Uint8Array): void {
  const [block, next] = varint(bytes, 0);
  const [parts] = varint(bytes, next);
  if (block < 1 || block > 2 ** 20 || parts < 1 || block % parts !== 0)
    throw new RangeError(`blocks of ${block} deltas in ${parts} parts`);
}

function varint(bytes: Uint8Array, start: number): [value: number, end: number] {
  let value = 0;
  for (let i = 0; i < 5; i++) {
    const byte = bytes[start + i];
    if (byte === undefined) throw new RangeError("a page that ends early");
    value += (byte & 127) * 128 ** i;
    if (byte < 128) return [value, start + i + 1];
  }
  throw new RangeError("a number of more than 32 bits");
}

const bitsOf = (level: number): number => 32 - Math.clz32(level);

function checkCount(count: number, most: number): number {
  if (count > most) throw new RangeError(`a page of ${count} values; expected at most ${most}`);
  return count;
}

function number(fields: ThriftFields, field: number, what: string): number {
  const value = fields.get(field);
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0)
    throw new RangeError(`a page header without its ${what}`);
  return value;
}

function struct(fields: ThriftFields, field: number): ThriftFields {
  const value = fields.get(field);
  if (typeof value !== "object") throw new RangeError("a page without the header of its type");
  return value;
}

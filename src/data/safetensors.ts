/**
 * safetensors, in memory: 8 bytes of little-endian header length, a JSON header, the tensors' bytes.
 * This file needs no file system, so it serves the browser too; `safetensors-file.ts` reads and writes files.
 *
 * Source: the format's own specification and reference implementation (huggingface/safetensors).
 */

import { bytesPerElement, type DType } from "../tensor/dtype.js";
import { fail } from "../tensor/errors.js";
import { NDArray } from "../tensor/ndarray.js";
import { formatShape, type Shape, sizeOf } from "../tensor/shape.js";
import { type Header, type HeaderEntry, maxHeaderBytes, parseHeader, quoted } from "./safetensors-header.js";

export interface SafetensorsContent {
  readonly tensors: Map<string, NDArray>;
  readonly metadata: Record<string, string>;
}

/** One tensor's place: offsets count from the end of the header. */
export interface TensorInfo extends HeaderEntry {
  readonly name: string;
}

interface StoredType {
  readonly bytes: number;
  readonly dtype: DType;
}

const stored = (dtype: DType): StoredType => ({ bytes: bytesPerElement(dtype), dtype });
const storedTypes = new Map<string, StoredType>([
  ["F64", stored("float64")],
  ["I64", stored("int64")],
  ["F32", stored("float32")],
  ["I32", stored("int32")],
  ["F16", stored("float16")],
  ["BF16", { bytes: 2, dtype: "float32" }],
  ["I8", stored("int8")],
  ["U8", stored("uint8")],
  ["BOOL", stored("bool")],
]);
const storedNames = new Map([...storedTypes].filter(([name]) => name !== "BF16").map(([name, t]) => [t.dtype, name]));

/** The length field of the first eight bytes, held against the format's limit and the file's size before any allocation. */
export function headerLength(prefix: Uint8Array, fileBytes: number, where: string): number {
  if (fileBytes < 8 || prefix.length < 8)
    fail("file", `${where}: expected a safetensors file (at least 8 bytes), got ${fileBytes} bytes`);
  const length = new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true);
  if (length > BigInt(maxHeaderBytes))
    fail("file", `${where}: the header claims ${length} bytes; safetensors allows at most ${maxHeaderBytes}`);
  if (Number(length) + 8 > fileBytes)
    fail("file", `${where}: the header claims ${length} bytes, the file has ${fileBytes - 8} after the length field`);
  return Number(length);
}

/** Parsed header -> tensor places in file order: inside the file, the size their shape needs, without overlap or hole. */
export function checkLayout(header: Header, dataBytes: number, where: string): TensorInfo[] {
  const infos = Array.from(header.entries, ([name, entry]) => ({ name, ...entry }));
  infos.sort((a, b) => a.start - b.start || a.end - b.end);
  let position = 0;
  for (const info of infos) {
    const tensor = `${where}: tensor ${quoted(info.name)}`;
    if (info.end < info.start) fail("file", `${tensor}: data_offsets [${info.start}, ${info.end}] run backwards`);
    if (info.end > dataBytes)
      fail("file", `${tensor}: data_offsets end at ${info.end}, the file holds ${dataBytes} bytes of data`);
    if (info.start !== position) {
      const problem = info.start < position ? "overlap the tensor before" : "leave a hole before the tensor";
      fail("file", `${tensor}: data_offsets begin at ${info.start} and ${problem}; expected ${position}`);
    }
    const needed = neededBytes(info, tensor);
    if (needed !== info.end - info.start)
      fail(
        "file",
        `${tensor}: ${info.dtype}${formatShape(info.shape)} needs ${needed} bytes, got ${info.end - info.start}`,
      );
    position = info.end;
  }
  if (position !== dataBytes)
    fail(
      "file",
      `${where}: ${dataBytes - position} bytes follow the last tensor (at data offset ${position}); expected none`,
    );
  return infos;
}

function neededBytes(info: HeaderEntry, tensor: string): number {
  const type = storedTypes.get(info.dtype);
  if (!type)
    return fail(
      "file",
      `${tensor}: dtype ${info.dtype.slice(0, 40)}; expected one of ${[...storedTypes.keys()].join(", ")}`,
    );
  // A zero anywhere makes the product zero, but the other factors must still fit: shapes are multiplied again elsewhere.
  const product = info.shape.reduce((total, n) => {
    const next = total * Math.max(n, 1);
    if (!Number.isSafeInteger(next))
      fail("file", `${tensor}: the product of shape ${formatShape(info.shape)} overflows`);
    return next;
  }, type.bytes);
  return info.shape.includes(0) ? 0 : product;
}

/** Stored bytes -> array. BF16 widens to float32 (its bits are float32's upper half). */
export function decodeTensor(info: TensorInfo, bytes: Uint8Array<ArrayBuffer>, where: string): NDArray {
  const { dtype } = storedTypes.get(info.dtype) as StoredType;
  if (info.dtype === "BF16") return new NDArray(widenBFloat16(bytes), info.shape, dtype);
  if (dtype === "bool") {
    const odd = bytes.findIndex((value) => value > 1);
    if (odd >= 0)
      fail("file", `${where}: tensor ${quoted(info.name)}: BOOL element ${odd} is ${bytes[odd]}; expected 0 or 1`);
  }
  return new NDArray(viewAs(dtype, bytes), info.shape, dtype);
}

function widenBFloat16(bytes: Uint8Array<ArrayBuffer>): Float32Array {
  const upper = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2);
  const bits = new Uint32Array(upper.length);
  for (let i = 0; i < bits.length; i++) bits[i] = (upper[i] as number) << 16;
  return new Float32Array(bits.buffer);
}

function viewAs(dtype: DType, { buffer, byteOffset, byteLength }: Uint8Array<ArrayBuffer>): NDArray["data"] {
  const length = byteLength / bytesPerElement(dtype);
  switch (dtype) {
    case "float32":
      return new Float32Array(buffer, byteOffset, length);
    case "float16":
      return new Uint16Array(buffer, byteOffset, length);
    case "float64":
      return new Float64Array(buffer, byteOffset, length);
    case "int32":
      return new Int32Array(buffer, byteOffset, length);
    case "int64":
      return new BigInt64Array(buffer, byteOffset, length);
    case "int8":
      return new Int8Array(buffer, byteOffset, length);
    case "bool":
    case "uint8":
      return new Uint8Array(buffer, byteOffset, length);
  }
}

/**
 * A whole file in memory -> tensors (each copied out, so `bytes` may be reused) and metadata.
 *
 * Strict: header at most 100 MB and beginning with `{`; no duplicate, unknown or missing key; shapes whole, below 2^53,
 * and worth exactly the bytes their offsets span; no overlap, hole or trailing byte. `where` names the bytes in errors.
 *
 * @throws LayerwiseError "file" naming the tensor or offset at fault.
 */
export function parseSafetensors(bytes: Uint8Array, where = "safetensors"): SafetensorsContent {
  const length = headerLength(bytes.subarray(0, 8), bytes.length, where);
  const header = parseHeader(bytes.subarray(8, 8 + length), where);
  const data = bytes.subarray(8 + length);
  const tensors = new Map<string, NDArray>();
  for (const info of checkLayout(header, data.length, where))
    tensors.set(info.name, decodeTensor(info, data.slice(info.start, info.end), where));
  return { tensors, metadata: header.metadata };
}

export interface EncodedSafetensors {
  /** Length field and padded header. */
  readonly head: Uint8Array;
  /** The tensors' bytes in file order: views, not copies. */
  readonly parts: readonly Uint8Array[];
}

/**
 * Tensors -> a safetensors file in parts, ordered as the reference writer does (widest dtype first, then name), the
 * header padded with spaces to 8 bytes, so that every tensor is aligned. `format: "pt"` is what transformers asks for.
 *
 * @throws LayerwiseError "argument" for a reserved or ill-formed name, or metadata that is not strings.
 */
export function encodeSafetensors(
  tensors: ReadonlyMap<string, NDArray>,
  metadata: Readonly<Record<string, string>> = { format: "pt" },
): EncodedSafetensors {
  const { head, order } = encodeHead(tensors, metadata);
  const bytesOf = ({ data }: NDArray) => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return { head, parts: order.map((name) => bytesOf(tensors.get(name) as NDArray)) };
}

/** What comes before the data, and the order that this is in. */
export function encodeHead(
  tensors: ReadonlyMap<string, Pick<NDArray, "dtype" | "shape">>,
  metadata: Readonly<Record<string, string>> = { format: "pt" },
): { readonly head: Uint8Array; readonly order: readonly string[] } {
  const ordered = [...tensors].sort(
    ([a, x], [b, y]) => bytesPerElement(y.dtype) - bytesPerElement(x.dtype) || (a < b ? -1 : 1),
  );
  let position = 0;
  const members = ordered.map(([name, { dtype, shape }]) => {
    checkName(name);
    const start = position;
    position += sizeOf(shape) * bytesPerElement(dtype);
    return member(name, { dtype: storedNames.get(dtype), shape: plainShape(shape), data_offsets: [start, position] });
  });
  if (Object.keys(metadata).length > 0) members.unshift(member("__metadata__", checkMetadata(metadata)));
  const json = new TextEncoder().encode(`{${members.join(",")}}`);
  const padded = Math.ceil(json.length / 8) * 8;
  if (padded > maxHeaderBytes)
    fail("argument", `safetensors: the header needs ${padded} bytes; the format allows ${maxHeaderBytes}`);
  const head = new Uint8Array(8 + padded).fill(0x20);
  new DataView(head.buffer).setBigUint64(0, BigInt(padded), true);
  head.set(json, 8);
  return { head, order: ordered.map(([name]) => name) };
}

const member = (key: string, value: unknown): string => `${JSON.stringify(key)}:${JSON.stringify(value)}`;
const plainShape = (shape: Shape): number[] => [...shape];

function checkName(name: string): void {
  if (name === "__metadata__") fail("argument", 'safetensors: "__metadata__" is reserved and cannot name a tensor');
  checkUnicode(name);
}

function checkUnicode(text: string): void {
  if (/\p{Surrogate}/u.test(text)) fail("argument", `safetensors: ${JSON.stringify(text)} is not valid Unicode`);
}

function checkMetadata(metadata: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  for (const [key, value] of Object.entries(metadata)) {
    if (typeof value !== "string")
      fail(
        "argument",
        `safetensors: metadata ${JSON.stringify(key)} is a ${typeof value}; the format allows only strings`,
      );
    checkUnicode(key);
    checkUnicode(value);
  }
  return metadata;
}

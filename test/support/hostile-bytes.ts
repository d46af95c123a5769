/** Bytes of files as an attacker would write them: formats by hand, so that every field can lie. */
import { deflateSync } from "node:zlib";

export const text = (value: string): Uint8Array => new TextEncoder().encode(value);
export const joined = (...parts: readonly (Uint8Array | readonly number[])[]): Uint8Array =>
  new Uint8Array(Buffer.concat(parts.map((part) => Uint8Array.from(part))));

/** A safetensors file of a header (as text or data) and bytes, its length field as given or as it should be. */
export function safetensors(header: unknown, dataBytes = 0, length?: bigint): Uint8Array {
  const json = text(typeof header === "string" ? header : JSON.stringify(header));
  const prefix = new Uint8Array(8);
  new DataView(prefix.buffer).setBigUint64(0, length ?? BigInt(json.length), true);
  return joined(prefix, json, new Uint8Array(dataBytes));
}

export const tensor = (shape: unknown, offsets: unknown, dtype: unknown = "F32"): object => ({
  dtype,
  shape,
  data_offsets: offsets,
});

/** A protobuf number. */
export function varint(value: number | bigint): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  return Uint8Array.from([...bytes, Number(rest)]);
}

/** A protobuf field of bytes (text, a message), its length as given or as it is. */
export function field(number: number, value: Uint8Array | string, length?: number | bigint): Uint8Array {
  const bytes = typeof value === "string" ? text(value) : value;
  return joined(varint(number * 8 + 2), varint(length ?? bytes.length), bytes);
}

export const scalar = (number: number, value: number | bigint): Uint8Array => joined(varint(number * 8), varint(value));

/** An ONNX model around the fields of its graph. */
export const onnx = (...graph: readonly Uint8Array[]): Uint8Array =>
  joined(scalar(1, 10), field(8, joined(field(1, ""), scalar(2, 21))), field(7, joined(...graph)));

export interface OnnxTensor {
  readonly dims: readonly (number | bigint)[];
  readonly type?: number;
  readonly raw?: Uint8Array;
  readonly external?: Readonly<Record<string, string>>;
}

/** An initialiser of a graph: its name, and what the file says of it. */
export const initializer = (name: string, { dims, type = 1, raw, external }: OnnxTensor): Uint8Array =>
  field(
    5,
    joined(
      ...dims.map((n) => scalar(1, n)),
      scalar(2, type),
      field(8, name),
      ...(raw ? [field(9, raw)] : []),
      ...Object.entries(external ?? {}).map(([key, value]) => field(13, joined(field(1, key), field(2, value)))),
      ...(external ? [scalar(14, 1)] : []),
    ),
  );

export const node = (type: string, inputs: readonly string[], outputs: readonly string[], domain = ""): Uint8Array =>
  field(
    1,
    joined(
      ...inputs.map((name) => field(1, name)),
      ...outputs.map((name) => field(2, name)),
      field(4, type),
      ...(domain === "" ? [] : [field(7, domain)]),
    ),
  );

/** An input (11) or output (12) of float32. */
export const value = (place: 11 | 12, name: string, shape: readonly (number | bigint)[]): Uint8Array => {
  const dims = shape.map((n) => field(1, scalar(1, n)));
  return field(place, joined(field(1, name), field(2, field(1, joined(scalar(1, 1), field(2, joined(...dims)))))));
};

export const pngSignature = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);

export function chunk(kind: string, data: Uint8Array, length = data.length): Uint8Array {
  const body = joined(text(kind), data);
  const [before, after] = [Buffer.alloc(4), Buffer.alloc(4)];
  before.writeUInt32BE(length);
  after.writeUInt32BE(crc32(body));
  return joined(before, body, after);
}

function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? 0xedb88320 ^ (crc >>> 1) : crc >>> 1;
  }
  return (crc ^ 0xffffffff) >>> 0;
}

export interface PngHeader {
  readonly width: number;
  readonly height: number;
  readonly depth?: number;
  readonly color?: number;
  readonly interlaced?: number;
}

export function ihdr({ width, height, depth = 8, color = 2, interlaced = 0 }: PngHeader): Uint8Array {
  const data = Buffer.alloc(13);
  data.writeUInt32BE(width, 0);
  data.writeUInt32BE(height, 4);
  data.set([depth, color, 0, 0, interlaced], 8);
  return chunk("IHDR", data);
}

/** A PNG of a header, any chunks, and packed rows. */
export const png = (header: PngHeader, rows: Uint8Array, ...chunks: readonly Uint8Array[]): Uint8Array =>
  joined(pngSignature, ihdr(header), ...chunks, chunk("IDAT", deflateSync(rows)), chunk("IEND", new Uint8Array()));

export const segment = (kind: number, data: readonly number[], length = data.length + 2): Uint8Array =>
  Uint8Array.from([0xff, kind, length >> 8, length & 255, ...data]);

/** A JPEG frame header: one component, or as many as are given as [id, sampling, table]. */
export const frame = (width: number, height: number, parts: readonly (readonly number[])[] = [[1, 0x11, 0]]) =>
  segment(0xc0, [8, height >> 8, height & 255, width >> 8, width & 255, parts.length, ...parts.flat()]);

/** IDX: dimensions as big-endian numbers, then bytes. */
export function idx(dimensions: readonly number[], bytes: readonly number[], type = 8): Uint8Array {
  const head = Buffer.alloc(4 + 4 * dimensions.length);
  head.set([0, 0, type, dimensions.length]);
  dimensions.forEach((n, i) => {
    head.writeUInt32BE(n, 4 + 4 * i);
  });
  return joined(head, bytes);
}

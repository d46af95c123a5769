/** Element types, their host arrays and their sizes. One table; everything else asks it. */

export type DType = "float32" | "float16" | "float64" | "int32" | "int64" | "bool" | "int8" | "uint8";

/** Host storage: float16 is kept as its 16 bits, int64 as BigInt64Array, bool as one byte each. */
export type TypedArray =
  | Float32Array
  | Uint16Array
  | Float64Array
  | Int32Array
  | BigInt64Array
  | Uint8Array
  | Int8Array;

interface DTypeInfo {
  readonly bytes: number;
  readonly kind: "float" | "integer" | "bool";
  readonly allocate: (length: number) => TypedArray;
}

const table: Record<DType, DTypeInfo> = {
  float32: { bytes: 4, kind: "float", allocate: (n) => new Float32Array(n) },
  float16: { bytes: 2, kind: "float", allocate: (n) => new Uint16Array(n) },
  float64: { bytes: 8, kind: "float", allocate: (n) => new Float64Array(n) },
  int32: { bytes: 4, kind: "integer", allocate: (n) => new Int32Array(n) },
  int64: { bytes: 8, kind: "integer", allocate: (n) => new BigInt64Array(n) },
  bool: { bytes: 1, kind: "bool", allocate: (n) => new Uint8Array(n) },
  int8: { bytes: 1, kind: "integer", allocate: (n) => new Int8Array(n) },
  uint8: { bytes: 1, kind: "integer", allocate: (n) => new Uint8Array(n) },
};

export const dtypes = Object.keys(table) as DType[];
export const bytesPerElement = (dtype: DType): number => table[dtype].bytes;
export const isFloat = (dtype: DType): boolean => table[dtype].kind === "float";
export const isInteger = (dtype: DType): boolean => table[dtype].kind === "integer";
export const allocate = (dtype: DType, length: number): TypedArray => table[dtype].allocate(length);

const scratch = new Float32Array(1);
const scratchBits = new Uint32Array(scratch.buffer);

/** float32 → the nearest float16 (ties to even), as its 16 bits. */
export function toHalf(value: number): number {
  scratch[0] = value;
  const bits = scratchBits[0] as number;
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00; // NaN
  if (magnitude >= 0x47800000) return sign | 0x7c00; // 65536 and above: infinity
  if (magnitude < 0x38800000) {
    // Subnormal: units of 2^-24, rounded to even by the float addition itself.
    scratchBits[0] = magnitude;
    scratch[0] = (scratch[0] as number) + 0.5;
    return sign | ((scratchBits[0] as number) - 0x3f000000);
  }
  const rounded = magnitude + 0xfff + ((magnitude >>> 13) & 1);
  return sign | ((rounded - 0x38000000) >>> 13);
}

/** float16 bits → number. */
export function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >>> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

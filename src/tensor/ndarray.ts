import { allocate, type DType, fromHalf, type TypedArray, toHalf } from "./dtype.js";
import { fail } from "./errors.js";
import { formatShape, type Shape, sizeOf } from "./shape.js";

export type Nested = number | boolean | readonly Nested[];

/** A host array: what goes into a program and what comes out of it. Row-major, immutable by convention. */
export class NDArray {
  constructor(
    readonly data: TypedArray,
    readonly shape: Shape,
    readonly dtype: DType,
  ) {
    if (data.length !== sizeOf(shape))
      fail(
        "shape",
        `NDArray: shape ${formatShape(shape)} needs ${sizeOf(shape)} elements, the data has ${data.length}`,
      );
  }

  get size(): number {
    return this.data.length;
  }

  /** Element `index` (flat) as a number, whatever the storage. */
  at(index: number): number {
    const value = this.data[index];
    if (value === undefined) return fail("argument", `NDArray.at: index ${index} is outside 0..${this.size - 1}`);
    return this.dtype === "float16" ? fromHalf(Number(value)) : Number(value);
  }

  /** The only element, as a number. */
  item(): number {
    if (this.size !== 1)
      fail("shape", `NDArray.item: expected one element, this array has shape ${formatShape(this.shape)}`);
    return this.at(0);
  }

  /** All elements as plain numbers, flat. */
  toNumbers(): number[] {
    return Array.from({ length: this.size }, (_, i) => this.at(i));
  }

  /** Nested arrays of the same shape (a number for a scalar). */
  toArray(): Nested {
    let position = 0;
    const build = (axis: number): Nested =>
      axis === this.shape.length
        ? this.at(position++)
        : Array.from({ length: this.shape[axis] as number }, () => build(axis + 1));
    return build(0);
  }

  cast(dtype: DType): NDArray {
    if (dtype === this.dtype) return this;
    return NDArray.from(this.toNumbers(), dtype, this.shape);
  }

  /** The same numbers under another shape; no copy. */
  reshape(shape: Shape): NDArray {
    return new NDArray(this.data, shape, this.dtype);
  }

  /** `console.log` of a scalar prints its number, so a loss reads as a loss. */
  [Symbol.for("nodejs.util.inspect.custom")](): unknown {
    return this.size === 1 && this.shape.length === 0
      ? this.item()
      : `NDArray ${this.dtype}${formatShape(this.shape)} [${this.toNumbers().slice(0, 8).join(", ")}${this.size > 8 ? ", …" : ""}]`;
  }

  valueOf(): number {
    return this.item();
  }

  /** From numbers: nested arrays give their own shape, flat ones may be given one. */
  static from(values: Nested | ArrayLike<number>, dtype: DType = "float32", shape?: Shape): NDArray {
    const [flat, found] = flatten(values as Nested);
    const target = shape ?? found;
    const data = allocate(dtype, flat.length);
    if (data instanceof BigInt64Array)
      for (let i = 0; i < flat.length; i++) data[i] = BigInt(Math.trunc(flat[i] as number));
    else if (dtype === "float16") for (let i = 0; i < flat.length; i++) data[i] = toHalf(flat[i] as number);
    else if (dtype === "bool") for (let i = 0; i < flat.length; i++) data[i] = flat[i] ? 1 : 0;
    else data.set(flat as number[]);
    return new NDArray(data, target, dtype);
  }

  static zeros(shape: Shape, dtype: DType = "float32"): NDArray {
    return new NDArray(allocate(dtype, sizeOf(shape)), shape, dtype);
  }
}

function flatten(values: Nested): [ArrayLike<number>, number[]] {
  if (typeof values === "number") return [[values], []];
  if (typeof values === "boolean") return [[values ? 1 : 0], []];
  if (ArrayBuffer.isView(values))
    return [values as unknown as ArrayLike<number>, [(values as unknown as ArrayLike<number>).length]];
  const first = values[0];
  if (first === undefined || typeof first === "number") {
    if (values.some((v) => typeof v !== "number" && typeof v !== "boolean"))
      fail("shape", "array: rows of different depth; expected every row to have the same shape");
    return [values.map(Number), [values.length]];
  }
  if (typeof first === "boolean") return [values.map(Number), [values.length]];
  const rows = values.map((row) => flatten(row));
  const inner = (rows[0] as [ArrayLike<number>, number[]])[1];
  const flat: number[] = [];
  for (const [row, shape] of rows) {
    if (shape.length !== inner.length || shape.some((n, i) => n !== inner[i]))
      fail(
        "shape",
        `array: rows of shapes ${formatShape(inner)} and ${formatShape(shape)}; expected every row to have the same shape`,
      );
    for (let i = 0; i < row.length; i++) flat.push(row[i] as number);
  }
  return [flat, [values.length, ...inner]];
}

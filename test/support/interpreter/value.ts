/** What the interpreter computes with: a shape and doubles, whatever the dtype of the tensor. */
import { allocate, type DType, isFloat, NDArray, type Shape, sizeOf } from "../../../src/tensor/index.js";

export interface Value {
  readonly shape: Shape;
  readonly data: Float64Array;
}

export const makeValue = (shape: Shape, at: (index: number[], flat: number) => number): Value => {
  const data = new Float64Array(sizeOf(shape));
  eachIndex(shape, (index, flat) => {
    data[flat] = at(index, flat);
  });
  return { shape, data };
};

/** Visit every index of a shape in row-major order. The index array is reused: copy it to keep it. */
export function eachIndex(shape: Shape, visit: (index: number[], flat: number) => void): void {
  const total = sizeOf(shape);
  const index = shape.map(() => 0);
  for (let flat = 0; flat < total; flat++) {
    visit(index, flat);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      index[axis] = (index[axis] as number) + 1;
      if ((index[axis] as number) < (shape[axis] as number)) break;
      index[axis] = 0;
    }
  }
}

/** Row-major position of an index; an axis of length 1 is read at 0 (broadcasting), missing leading axes are skipped. */
export function offset(shape: Shape, index: readonly number[]): number {
  const skip = index.length - shape.length;
  let position = 0;
  for (const [axis, n] of shape.entries()) position = position * n + (n === 1 ? 0 : (index[axis + skip] as number));
  return position;
}

export const read = ({ shape, data }: Value, index: readonly number[]): number => data[offset(shape, index)] as number;

export const replaceAt = (index: readonly number[], axis: number, value: number): number[] =>
  index.map((i, k) => (k === axis ? value : i));

export const fromNDArray = (array: NDArray): Value => ({
  shape: array.shape,
  data: Float64Array.from(array.toNumbers()),
});

/** As a host array; floats become float64 when asked for, so that nothing is rounded. */
export function toNDArray({ shape, data }: Value, dtype: DType): NDArray {
  if (dtype === "float64") return new NDArray(data, shape, "float64");
  if (data.length === 0) return new NDArray(allocate(dtype, 0), shape, dtype);
  return NDArray.from(Float64Array.from(data, isFloat(dtype) ? (x) => x : Math.trunc), dtype, shape);
}

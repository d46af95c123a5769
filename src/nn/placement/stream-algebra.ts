/** The few operations on weights that conversions of the residual stream need, along one axis, in float64. */
import { NDArray, type Shape, sizeOf } from "../../tensor/index.js";

/** w − mean(w) along an axis: what a writer adds then has mean 0. */
export const recentre = (w: NDArray, axis: number): NDArray =>
  alongAxis(w, axis, (line) => {
    const mean = line.reduce((sum, x) => sum + x, 0) / line.length;
    return line.map((x) => x - mean);
  });

/** Without the last entry of an axis: the stream of zero-mean vectors loses nothing by it. */
export const dropLast = (w: NDArray, axis: number): NDArray => alongAxis(w, axis, (line) => line.slice(0, -1));

/** w[i] − w[last]: a reader of the first d − 1 entries, since the last is −Σ of them. */
export const subtractLast = (w: NDArray, axis: number): NDArray =>
  alongAxis(w, axis, (line) => line.slice(0, -1).map((x) => x - (line.at(-1) as number)));

/** W diag(g), for W [out, in]. */
export function scaleInputs(W: NDArray, g: ArrayLike<number>): NDArray {
  return alongAxis(W, 1, (line) => line.map((x, i) => x * (g[i] as number)));
}

/** W b, for W [out, in]. */
export function timesVector(W: NDArray, b: ArrayLike<number>): Float64Array {
  const [out, inputs] = W.shape as [number, number];
  return Float64Array.from({ length: out }, (_, row) => {
    let sum = 0;
    for (let i = 0; i < inputs; i++) sum += W.at(row * inputs + i) * (b[i] as number);
    return sum;
  });
}

/** Replace every line along `axis` by `change(line)`; all results must have one length. */
function alongAxis(w: NDArray, axis: number, change: (line: Float64Array) => Float64Array): NDArray {
  const length = w.shape[axis] as number;
  const inner = sizeOf(w.shape.slice(axis + 1));
  const outer = sizeOf(w.shape.slice(0, axis));
  let result: Float64Array | undefined;
  let shape: Shape = w.shape;
  for (let o = 0; o < outer; o++)
    for (let i = 0; i < inner; i++) {
      const line = change(Float64Array.from({ length }, (_, k) => w.at((o * length + k) * inner + i)));
      result ??= new Float64Array(outer * line.length * inner);
      if (line.length !== length) shape = w.shape.with(axis, line.length);
      for (const [k, x] of line.entries()) result[(o * line.length + k) * inner + i] = x;
    }
  return new NDArray(result ?? new Float64Array(0), shape, "float64");
}

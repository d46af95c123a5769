/** The few operations on weights that conversions of the residual stream need, along one axis, in float64. */
import { NDArray, type Shape, sizeOf } from "../../tensor/index.js";

/** An array as float64 numbers [outer, n, inner], `n` along the axis of interest. */
interface Lines {
  readonly values: Float64Array;
  readonly outer: number;
  readonly n: number;
  readonly inner: number;
}

function linesOf(w: NDArray, axis: number): Lines {
  const values = w.data instanceof Float32Array ? new Float64Array(w.data) : Float64Array.from(w.toNumbers());
  const [outer, n, inner] = [sizeOf(w.shape.slice(0, axis)), w.shape[axis] as number, sizeOf(w.shape.slice(axis + 1))];
  return { values, outer, n, inner };
}

/** The result in the type of the array it came from. */
function like(w: NDArray, values: Float64Array, shape: Shape = w.shape): NDArray {
  if (w.dtype === "float32") return new NDArray(new Float32Array(values), shape, "float32");
  return new NDArray(values, shape, "float64").cast(w.dtype);
}

/** w − mean(w) along an axis: what a writer adds then has mean 0. */
export function recentre(w: NDArray, axis: number): NDArray {
  const { values, outer, n, inner } = linesOf(w, axis);
  for (let o = 0; o < outer; o++) {
    const mean = new Float64Array(inner);
    const block = values.subarray(o * n * inner, (o + 1) * n * inner);
    for (let i = 0; i < block.length; i++) mean[i % inner] = (mean[i % inner] as number) + (block[i] as number) / n;
    for (let i = 0; i < block.length; i++) block[i] = (block[i] as number) - (mean[i % inner] as number);
  }
  return like(w, values);
}

/** Without the last entry of an axis: the stream of zero-mean vectors loses nothing by it. */
export const dropLast = (w: NDArray, axis: number): NDArray => shortened(w, axis, 0);

/** w[i] − w[last]: a reader of the first d − 1 entries, since the last is −Σ of them. */
export const subtractLast = (w: NDArray, axis: number): NDArray => shortened(w, axis, 1);

/** w[i] − factor · w[last], for all entries of the axis but the last. */
function shortened(w: NDArray, axis: number, factor: 0 | 1): NDArray {
  const { values, outer, n, inner } = linesOf(w, axis);
  const kept = (n - 1) * inner;
  const result = new Float64Array(outer * kept);
  for (let o = 0; o < outer; o++) {
    const start = o * n * inner;
    for (let i = 0; i < kept; i++)
      result[o * kept + i] = (values[start + i] as number) - factor * (values[start + kept + (i % inner)] as number);
  }
  return like(w, result, w.shape.with(axis, n - 1));
}

/** W diag(g), for W [out, in]. */
export function scaleInputs(W: NDArray, g: ArrayLike<number>): NDArray {
  const { values, n } = linesOf(W, 1);
  return like(
    W,
    values.map((x, i) => x * (g[i % n] as number)),
  );
}

/** W b, for W [out, in]. */
export function timesVector(W: NDArray, b: ArrayLike<number>): Float64Array {
  const { values, outer, n } = linesOf(W, 1);
  const result = new Float64Array(outer);
  for (let i = 0; i < values.length; i++) {
    const row = Math.floor(i / n);
    result[row] = (result[row] as number) + (values[i] as number) * (b[i - row * n] as number);
  }
  return result;
}

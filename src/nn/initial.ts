/**
 * First values of fresh parameters. A layer made on its own draws from a counter of this process; `initialize` gives a
 * whole model values that depend on a seed and on the parameters' paths alone, in whatever order it was built.
 */
import { allocate, NDArray, philoxNormal, philoxUniform, type Shape, type Stream, sizeOf } from "../tensor/index.js";

let layersMade = 0;
let skipped = false;

/** U(−bound, bound). */
export const uniform = (shape: Shape, bound: number): NDArray =>
  fresh(shape, (stream, size) => philoxUniform(stream, size).map((u) => (2 * u - 1) * bound));

/** N(0, std). */
export const normal = (shape: Shape, std: number): NDArray =>
  fresh(shape, (stream, size) => philoxNormal(stream, size).map((z) => z * std));

export const filled = (shape: Shape, value: number): NDArray =>
  new NDArray(allocate("float32", sizeOf(shape)).fill(value as never), shape, "float32");

/** Make a model whose weights are set right afterwards: they start at 0, which costs nothing to draw. */
export function uninitialized<T>(make: () => T): T {
  const outer = skipped;
  skipped = true;
  try {
    return make();
  } finally {
    skipped = outer;
  }
}

function fresh(shape: Shape, draw: (stream: Stream, size: number) => Float32Array): NDArray {
  if (skipped) return NDArray.zeros(shape);
  return new NDArray(draw({ seed: 0, site: `layer ${layersMade++}` }, sizeOf(shape)), shape, "float32");
}

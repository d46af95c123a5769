/**
 * First values of fresh parameters. A layer made on its own draws from a counter of this process; `initialize` gives a
 * whole model values that depend on a seed and on the parameters' paths alone, in whatever order it was built.
 */
import {
  allocate,
  fail,
  formatShape,
  NDArray,
  philoxNormal,
  philoxUniform,
  type Shape,
  type Stream,
  sizeOf,
} from "../tensor/index.js";

let layersMade = 0;
let skipped = false;
/** Numbers that the model being made may still have, and who said so. */
let room = { left: Number.POSITIVE_INFINITY, where: "" };

/** U(−bound, bound). */
export const uniform = (shape: Shape, bound: number): NDArray =>
  fresh(shape, (stream, size) => philoxUniform(stream, size).map((u) => (2 * u - 1) * bound));

/** N(0, std). */
export const normal = (shape: Shape, std: number): NDArray =>
  fresh(shape, (stream, size) => philoxNormal(stream, size).map((z) => z * std));

export const filled = (shape: Shape, value: number): NDArray =>
  new NDArray(allocate("float32", take(shape)).fill(value as never), shape, "float32");

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

/**
 * Make a model that a file describes, of at most `most` numbers in all.
 *
 * @throws LayerwiseError "file" that begins with `where`, before room is made for more.
 */
export function bounded<T>(most: number, where: string, make: () => T): T {
  const outer = room;
  room = { left: most, where };
  try {
    return make();
  } finally {
    room = outer;
  }
}

function take(shape: Shape): number {
  const size = sizeOf(shape);
  room.left -= size;
  if (!(room.left >= 0))
    fail("file", `${room.where}: a weight would be ${formatShape(shape)}, more than there can be in the model's file`);
  return size;
}

function fresh(shape: Shape, draw: (stream: Stream, size: number) => Float32Array): NDArray {
  const size = take(shape);
  if (skipped) return NDArray.zeros(shape);
  return new NDArray(draw({ seed: 0, site: `layer ${layersMade++}` }, size), shape, "float32");
}

/**
 * An image as tokens: patches of P × P pixels, each times one matrix, from left to right and from top to bottom.
 *
 *   [batch, channels, height, width] → [batch, height/P · width/P, width of the stream]
 */
import { Conv2d, Module } from "../../nn/index.js";
import { fail, formatShape, NDArray, type Tensor } from "../../tensor/index.js";
import { cubicTaps } from "../../tensor/pooling.js";

export type Size = number | readonly [height: number, width: number];

/** Rows and columns of patches. Throws where patches do not divide the image. */
export function gridOf(name: string, imageSize: Size, patchSize: number): readonly [number, number] {
  const [height, width] = typeof imageSize === "number" ? [imageSize, imageSize] : imageSize;
  for (const n of [height, width])
    if (!Number.isInteger(n) || n < 1 || !Number.isInteger(patchSize) || patchSize < 1 || n % patchSize !== 0)
      fail("argument", `${name}: patches of ${patchSize} do not divide an image of ${height} × ${width}`);
  return [height / patchSize, width / patchSize];
}

export class PatchEmbedding extends Module {
  readonly proj: Conv2d;
  readonly norm: Module | undefined;

  constructor(
    inputs: number,
    width: number,
    readonly patchSize: number,
    /** Rows and columns of patches. */
    readonly grid: readonly [number, number],
    norm?: Module,
  ) {
    super();
    this.proj = new Conv2d(inputs, width, patchSize, { stride: patchSize });
    this.norm = norm;
  }

  override forward(x: Tensor): Tensor {
    const expected = [this.proj.inputs, ...this.grid.map((n) => n * this.patchSize)];
    if (x.rank !== 4 || !expected.every((n, i) => x.dim(i + 1) === n))
      fail(
        "shape",
        `patch embedding: expected [batch, ${expected.join(", ")}], got ${formatShape(x.shape)}; resize the images or build the model with their size`,
      );
    const y = this.proj.apply(x);
    const tokens = y.reshape([x.dim(0), y.dim(1), this.grid[0] * this.grid[1]]).transpose([0, 2, 1]);
    return this.norm ? this.norm.apply(tokens) : tokens;
  }
}

/**
 * A table of positions [1, extra + rows · columns, width] for another grid: the first `extra` ones stay, the rest is taken
 * as an image and resized by cubic convolution (a = −0.75, pixel centres at halves, no antialiasing), as Hugging Face's ViT
 * does. A table whose grid is no square cannot tell its shape: it must fit as it is, or throws "file".
 */
export function resizePositions(table: NDArray, extra: number, grid: readonly [number, number]): NDArray {
  const [rows, columns] = grid;
  const [, tokens = 0, width = 0] = table.shape;
  if (tokens === extra + rows * columns) return table;
  const side = Math.sqrt(tokens - extra);
  if (table.shape.length !== 3 || !Number.isInteger(side) || side < 1)
    fail(
      "file",
      `positions: ${formatShape(table.shape)} does not fit ${extra} + ${rows} × ${columns} tokens, and its ${tokens - extra} patches are no square that could be resized`,
    );
  const values = table.cast("float32").data as Float32Array;
  const out = new Float32Array((extra + rows * columns) * width);
  out.set(values.subarray(0, extra * width));
  const taps = (n: number) => Array.from({ length: n }, (_, o) => cubicTaps(((o + 0.5) * side) / n - 0.5, side));
  const [down, across] = [taps(rows), taps(columns)];
  for (let c = 0; c < width; c++)
    for (const [y, inRows] of down.entries())
      for (const [x, inColumns] of across.entries()) {
        let sum = 0;
        for (const [i, a] of inRows)
          for (const [j, b] of inColumns) sum += a * b * (values[(extra + i * side + j) * width + c] as number);
        out[(extra + y * columns + x) * width + c] = sum;
      }
  return new NDArray(out, [1, extra + rows * columns, width], "float32");
}

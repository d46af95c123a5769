/**
 * Convolutions of small images by large weights as products of matrices, the weight as it is stored. The windows of all images are
 * laid out as columns [C K, N Q], for C channels, K places of the kernel, N images and Q windows; y = W · columns, and so
 * are both gradients. What is usually copied piece by piece is a product, too: each image [C, P] with a matrix of zeros and
 * ones [P, K Q] that picks its places. (So a value that is not finite spreads over its whole image.)
 */
import { constant } from "./constant.js";
import type { DType } from "./dtype.js";
import { matmul } from "./matrix.js";
import { NDArray } from "./ndarray.js";
import { coordinates, flatIndex, sizeOf } from "./shape.js";
import { reshape, transpose } from "./shaping.js";
import type { Tensor } from "./tensor.js";

/** How windows lie on images: one number per spatial axis each. */
export interface Sliding {
  readonly image: readonly number[];
  readonly kernel: readonly number[];
  readonly windows: readonly number[];
  readonly stride: readonly number[];
  readonly before: readonly number[];
  readonly dilation: readonly number[];
}

/** Numbers in the largest matrix that picks places. */
const largest = 2 ** 17;

/** Whether picking places costs little beside the products with a weight of so many output channels. */
export const suitsColumns = ({ image, kernel, windows }: Sliding, outputs: number): boolean =>
  4 * sizeOf(image) <= outputs && sizeOf(image) * sizeOf(kernel) * sizeOf(windows) <= largest;

/** [N, C, ..image] to [C K, N Q]. */
function toColumns(x: Tensor, sliding: Sliding): Tensor {
  const [N, C] = x.shape as [number, number];
  const [P, K, Q] = [sizeOf(sliding.image), sizeOf(sliding.kernel), sizeOf(sliding.windows)];
  const windows = matmul(reshape(x, [N * C, P]), picking(sliding, x.dtype));
  return reshape(transpose(reshape(windows, [N, C * K, Q]), [1, 0, 2]), [C * K, N * Q]);
}

/** The adjoint of `toColumns`: each place gets the sum of what stands in the columns for it. */
function fromColumns(columns: Tensor, N: number, sliding: Sliding): Tensor {
  const [P, K, Q] = [sizeOf(sliding.image), sizeOf(sliding.kernel), sizeOf(sliding.windows)];
  const C = columns.dim(0) / K;
  const windows = reshape(transpose(reshape(columns, [C, K, N, Q]), [0, 2, 1, 3]), [C * N, K * Q]);
  const images = matmul(windows, transpose(picking(sliding, columns.dtype), [1, 0]));
  return reshape(transpose(reshape(images, [C, N, P]), [1, 0, 2]), [N, C, ...sliding.image]);
}

/** [N, O, ..] as [O, N Q], and back. */
const channelsFirst = (y: Tensor): Tensor => {
  const [N, O, ...windows] = y.shape as [number, number, ...number[]];
  const Q = sizeOf(windows);
  return reshape(transpose(reshape(y, [N, O, Q]), [1, 0, 2]), [O, N * Q]);
};
const imagesFirst = (y: Tensor, N: number, windows: readonly number[]): Tensor => {
  const [O, Q] = [y.dim(0), sizeOf(windows)];
  return reshape(transpose(reshape(y, [O, N, Q]), [1, 0, 2]), [N, O, ...windows]);
};
const asMatrix = (weight: Tensor): Tensor => reshape(weight, [weight.dim(0), weight.size / weight.dim(0)]);

export const convolveColumns = (x: Tensor, weight: Tensor, sliding: Sliding): Tensor =>
  imagesFirst(matmul(asMatrix(weight), toColumns(x, sliding)), x.dim(0), sliding.windows);

export const inputGradientOfColumns = (g: Tensor, weight: Tensor, sliding: Sliding): Tensor =>
  fromColumns(matmul(transpose(asMatrix(weight), [1, 0]), channelsFirst(g)), g.dim(0), sliding);

export const weightGradientOfColumns = (x: Tensor, g: Tensor, weight: Tensor, sliding: Sliding): Tensor =>
  reshape(matmul(channelsFirst(g), transpose(toColumns(x, sliding), [1, 0])), weight.shape);

const known = new Map<string, NDArray>();
const mostKnown = 32;

/** [P, K Q]: 1 where place p of the image is what place k of the kernel sees in window q. One array for all that are equal. */
function picking(sliding: Sliding, dtype: DType): Tensor {
  const key = `${dtype} ${JSON.stringify(sliding)}`;
  let matrix = known.get(key);
  if (!matrix) {
    matrix = pickingMatrix(sliding, dtype);
    if (known.size >= mostKnown) known.clear();
    known.set(key, matrix);
  }
  return constant(matrix);
}

function pickingMatrix({ image, kernel, windows, stride, before, dilation }: Sliding, dtype: DType): NDArray {
  const [P, K, Q] = [sizeOf(image), sizeOf(kernel), sizeOf(windows)];
  const ones = new Float32Array(P * K * Q);
  for (let k = 0; k < K; k++)
    for (let q = 0; q < Q; q++) {
      const [inKernel, window] = [coordinates(k, kernel), coordinates(q, windows)];
      const place = image.map(
        (_, i) =>
          (window[i] as number) * (stride[i] as number) +
          (inKernel[i] as number) * (dilation[i] as number) -
          (before[i] as number),
      );
      if (place.every((p, i) => p >= 0 && p < (image[i] as number)))
        ones[(flatIndex(place, image) * K + k) * Q + q] = 1;
    }
  return new NDArray(ones, [P, K * Q], "float32").cast(dtype);
}

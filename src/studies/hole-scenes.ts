/** Small scenes with rectangular holes, and generators trained to fill them: what the studies of inpainting share. */
import { Draws, rectangleMask, scenePicture } from "../data/images/index.js";
import { type InpaintGenerator, inpaintGenerator } from "../models/index.js";
import { BatchNorm, type BatchNormOptions, instanceNorm, type Norm, swapNorms } from "../nn/index.js";
import { NDArray } from "../tensor/index.js";

export interface HoleBatch {
  /** [B, 3, size, size] in [0, 1]. */
  readonly gt: NDArray;
  /** [B, 1, size, size], 1 in the hole: 2 to 4 rectangles, about a fifth of the pixels. */
  readonly mask: NDArray;
}

export const sceneSize = 32;

/** Scenes `first` to `first + count`, each with the mask that belongs to it. */
export function holeScenes(first: number, count: number, seed: number): HoleBatch {
  const sides = [sceneSize, sceneSize] as const;
  const gt = new Float32Array(count * 3 * sceneSize ** 2);
  const mask = new Float32Array(count * sceneSize ** 2);
  for (let i = 0; i < count; i++) {
    gt.set(scenePicture(first + i, { size: sceneSize, seed }).data, i * 3 * sceneSize ** 2);
    mask.set(rectangleMask(sides, new Draws({ seed, index: first + i }, "holes")).data, i * sceneSize ** 2);
  }
  return {
    gt: new NDArray(gt, [count, 3, ...sides], "float32"),
    mask: new NDArray(mask, [count, 1, ...sides], "float32"),
  };
}

/** Batches from number `start` on, without end: every step sees new scenes. */
export async function* sceneBatches(
  size: number,
  seed: number,
  start = 0,
): AsyncGenerator<{ readonly [K in keyof HoleBatch]: NDArray }> {
  for (let batch = start; ; batch++) yield holeScenes(batch * size, size, seed);
}

/** Scenes that no training saw, whatever its seed. */
export const unseenScenes = (count: number, size: number): HoleBatch[] =>
  Array.from({ length: count / size }, (_, i) => holeScenes(i * size, size, 1_000_003));

/** Batch statistics in inference, too: as region norm has them, so that the region alone makes the difference. */
class BatchStatisticsNorm extends BatchNorm {
  constructor(width: number, options?: BatchNormOptions) {
    super(width, options);
    this.statistics = "batch";
  }
}

const others: Readonly<Record<string, (width: number) => Norm>> = {
  "Batch norm": (width) => new BatchStatisticsNorm(width),
  "Instance norm": (width) => instanceNorm(width, { affine: true }),
};

export const fillers = ["Region norm", "Batch norm", "Instance norm"] as const;
export type Filler = (typeof fillers)[number];

/** The same generator, with the same first weights, with another norm everywhere. */
export function fillerWith(norm: Filler, seed: number): InpaintGenerator {
  const generator = inpaintGenerator({ width: 8, blocks: 2, seed });
  const other = others[norm];
  return other ? swapNorms(generator, other) : generator;
}

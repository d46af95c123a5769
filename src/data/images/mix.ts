import { fail } from "../../tensor/errors.js";
import type { BatchParts } from "./batch.js";
import { type DrawKey, Draws } from "./draws.js";

/** With both, either is taken half of the time, as timm has it. */
export interface MixOptions {
  /** α of Beta(α, α) for mixup; 0 is off. */
  readonly mixup?: number;
  /** α of Beta(α, α) for cutmix; 0 is off. */
  readonly cutmix?: number;
  /** Share of batches that are mixed (default 1). */
  readonly probability?: number;
}

/**
 * Each image mixed with its partner, the batch in reverse, with one λ per batch:
 *
 *   mixup: λ x + (1 − λ) x'      cutmix: x with a box of (1 − λ) of the area from x'
 *   targets [B, classes]: λ one-hot(y) + (1 − λ) one-hot(y')
 *
 * For cutmix λ is what is left after the box was cut at the border. Sources: mixup: Beyond Empirical Risk Minimization
 * (2018); CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features (2019).
 */
export function mixExamples(parts: BatchParts, classes: number, options: MixOptions, key: DrawKey): BatchParts {
  const { mixup = 0, cutmix = 0, probability = 1 } = options;
  for (const [name, value] of Object.entries({ mixup, cutmix, probability }))
    if (!(value >= 0 && Number.isFinite(value))) fail("argument", `images: ${name} ${value}; expected at least 0`);
  const draws = new Draws(key, "images.mix");
  const on = draws.uniform() < probability && mixup + cutmix > 0;
  const cuts = cutmix > 0 && (mixup === 0 || draws.uniform() < 0.5);
  const alpha = cuts ? cutmix : mixup;
  const drawn = on ? draws.beta(alpha, alpha) : 1;
  const { images, share } = !on
    ? { images: parts.images, share: 1 }
    : cuts
      ? cut(parts, drawn, draws)
      : blend(parts, drawn);
  return { ...parts, images, targets: softTargets(parts.labels, classes, share) };
}

type Mixed = { images: Float32Array<ArrayBuffer>; share: number };

function blend({ images, labels }: BatchParts, share: number): Mixed {
  const size = images.length / labels.length;
  return {
    images: images.map((x, i) => share * x + (1 - share) * (images[partner(i, size, labels.length)] as number)),
    share,
  };
}

/** The same element of the image at the other end of the batch. */
const partner = (i: number, size: number, count: number): number =>
  (count - 1 - Math.floor(i / size)) * size + (i % size);

function cut({ images, labels, shape }: BatchParts, share: number, draws: Draws): Mixed {
  const [height, width] = shape.slice(2) as [number, number];
  const span = (length: number): [number, number] => {
    const half = Math.floor(Math.floor(length * Math.sqrt(1 - share)) / 2);
    const middle = draws.whole(0, length - 1);
    return [Math.max(0, middle - half), Math.min(length, middle + half)];
  };
  const [[top, bottom], [left, right]] = [span(height), span(width)];
  const size = images.length / labels.length;
  const mixed = images.map((x, i) => {
    const [row, column] = [Math.floor(i / width) % height, i % width];
    const inside = row >= top && row < bottom && column >= left && column < right;
    return inside ? (images[partner(i, size, labels.length)] as number) : x;
  });
  return { images: mixed, share: 1 - ((bottom - top) * (right - left)) / (height * width) };
}

function softTargets(labels: Int32Array, classes: number, share: number): Float32Array<ArrayBuffer> {
  const targets = new Float32Array(labels.length * classes);
  labels.forEach((label, row) => {
    const other = labels[labels.length - 1 - row] as number;
    targets[row * classes + label] = (targets[row * classes + label] as number) + share;
    targets[row * classes + other] = (targets[row * classes + other] as number) + 1 - share;
  });
  return targets;
}

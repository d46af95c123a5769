/** Small image classifiers for studies: pictures drawn in memory, batches by number, training by `fit`, accuracy. */
import { type ShapeOptions, shapeArrays } from "../data/images/shapes.js";
import { keyedPermutation } from "../data/permutation.js";
import type { Module } from "../nn/index.js";
import { crossEntropy, NDArray, type Tensor } from "../tensor/index.js";
import type { Batch, FitOptions } from "../train/fit.js";
import type { StudyContext } from "./study.js";
import { meanOver, type Trained, trainRun } from "./train-run.js";

/** Float32 [n, C, H, W] and int32 [n]. */
export type LabelledImages = { readonly images: NDArray; readonly labels: NDArray };

export interface ImageTask {
  /** Batch `step` of an endless run of passes, each in an order of its own. */
  readonly train: (step: number) => LabelledImages;
  readonly test: readonly LabelledImages[];
  readonly classes: number;
}

export interface ShapeTaskOptions extends ShapeOptions {
  readonly train: number;
  readonly test: number;
  readonly batch: number;
}

/** The six shapes: the first `train` pictures to learn from, the next `test` held out. Pixels as (x − ½) · 2. */
export function shapeTask({ train, test, batch, ...options }: ShapeTaskOptions): ImageTask {
  const pictures = centred(shapeArrays(train, options));
  const held = centred(shapeArrays(test, { ...options, first: train }));
  return { ...taskOf(pictures, held, batch, options.seed ?? 0), classes: 6 };
}

const centred = ({ images, labels }: LabelledImages): LabelledImages => ({
  images: new NDArray(
    (images.data as Float32Array).map((x) => 2 * x - 1),
    images.shape,
    "float32",
  ),
  labels,
});

/** Batches of pictures that are there. */
export function taskOf(
  train: LabelledImages,
  test: LabelledImages,
  batch: number,
  seed: number,
): Omit<ImageTask, "classes"> {
  const count = train.labels.size;
  const perPass = Math.floor(count / batch);
  return {
    train: (step) => {
      const order = keyedPermutation(count, seed, Math.floor(step / perPass));
      return pick(
        train,
        Array.from({ length: batch }, (_, i) => order((step % perPass) * batch + i)),
      );
    },
    test: Array.from({ length: Math.ceil(test.labels.size / testBatch) }, (_, i) => {
      const end = Math.min(test.labels.size, (i + 1) * testBatch);
      return pick(
        test,
        Array.from({ length: end - i * testBatch }, (_, j) => i * testBatch + j),
      );
    }),
  };
}
const testBatch = 100;

/** Some of the pictures, in this order. */
export function pick({ images, labels }: LabelledImages, indices: readonly number[]): LabelledImages {
  const size = images.size / labels.size;
  const [pixels, chosen] = [new Float32Array(indices.length * size), new Int32Array(indices.length)];
  for (const [i, index] of indices.entries()) {
    pixels.set((images.data as Float32Array).subarray(index * size, (index + 1) * size), i * size);
    chosen[i] = labels.at(index);
  }
  return {
    images: new NDArray(pixels, [indices.length, ...images.shape.slice(1)], "float32"),
    labels: new NDArray(chosen, [indices.length], "int32"),
  };
}

export interface ClassifierRun extends Trained {
  /** Share of the test pictures told right, in inference mode. */
  readonly accuracy: number;
}

type TrainingOptions = Pick<FitOptions, "optimizer" | "learningRate" | "steps"> &
  Partial<Pick<FitOptions, "schedule" | "clip" | "accumulation" | "seed">>;

/** Cross-entropy on batches of a task; tells the study when it is done. */
export async function trainClassifier(
  context: Pick<StudyContext, "signal" | "progress">,
  {
    title,
    model,
    task,
    ...options
  }: TrainingOptions & { readonly title: string; readonly model: Module; readonly task: ImageTask },
): Promise<ClassifierRun> {
  const trained = await trainRun(context, {
    title,
    model,
    loss: ({ images, labels }) => crossEntropy(model.apply(images as Tensor), labels as Tensor),
    data: (start) => batchesFrom(task, start),
    onNonFinite: "skip",
    ...options,
  });
  const accuracy = await accuracyOf(model, task.test);
  context.progress({ kind: "run", title, seconds: trained.seconds, facts: [`accuracy ${accuracy.toFixed(3)}`] });
  return { ...trained, accuracy };
}

async function* batchesFrom(task: ImageTask, start: number): AsyncGenerator<Batch> {
  for (let step = start; ; step++) yield task.train(step);
}

/** Share of the pictures told right, over batches of any sizes. */
export async function accuracyOf(model: Module, batches: readonly LabelledImages[]): Promise<number> {
  const right = await meanOver(batches, ({ images, labels }) =>
    model
      .apply(images as Tensor)
      .argmax(-1)
      .cast("int32")
      .equal(labels as Tensor)
      .cast("float32")
      .sum(),
  );
  return (right * batches.length) / batches.reduce((sum, { labels }) => sum + labels.size, 0);
}

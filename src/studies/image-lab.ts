/** Small image classifiers for studies: pictures drawn in memory, batches by number, training by `fit`, accuracy. */

import type { Claim } from "../catalogue/claim.js";
import { type ShapeOptions, shapeArrays } from "../data/images/shapes.js";
import { keyedPermutation } from "../data/permutation.js";
import { inBatches, takeRows } from "../data/rows.js";
import type { Module } from "../nn/index.js";
import { crossEntropy, NDArray, type Tensor } from "../tensor/index.js";
import type { Batch, FitOptions } from "../train/fit.js";
import { judge, paired } from "./judge.js";
import { mean } from "./statistics.js";
import type { StudyContext } from "./study.js";
import type { Table } from "./study-report.js";
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
      return takeRows(
        train,
        Array.from({ length: batch }, (_, i) => order((step % perPass) * batch + i)),
      );
    },
    test: batchesOf(test),
  };
}
/** In order; the last one may be smaller. */
export const batchesOf = (set: LabelledImages, size = 100): LabelledImages[] => [...inBatches(set, size)];

export interface ClassifierRun extends Trained {
  readonly model: Module;
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
  return { ...trained, accuracy, model };
}

/** Every model from every seed; those of one seed see the same batches. */
export async function compareClassifiers<Name extends string>(
  context: Pick<StudyContext, "signal" | "progress">,
  models: Readonly<Record<Name, (seed: number) => Module | Promise<Module>>>,
  {
    seeds,
    task,
    ...options
  }: TrainingOptions & { readonly seeds: readonly number[]; readonly task: (seed: number) => ImageTask },
): Promise<Record<Name, ClassifierRun[]>> {
  const names = Object.keys(models) as Name[];
  const runs = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<Name, ClassifierRun[]>;
  for (const seed of seeds) {
    const data = task(seed);
    for (const name of names) {
      const title = `${name}, seed ${seed}`;
      const model = await models[name](seed);
      runs[name].push(await trainClassifier(context, { title, model, task: data, seed, ...options }));
    }
  }
  return runs;
}

/** Claims that one model tells more pictures right than another, by more than a margin. */
export function accuracyClaim<Name extends string>(
  runs: Readonly<Record<Name, readonly ClassifierRun[]>>,
  {
    claim,
    high,
    low,
    margin = 0,
    note,
  }: {
    readonly claim: string;
    readonly high: Name;
    readonly low: Name;
    readonly margin?: number;
    readonly note?: string;
  },
): Claim {
  const accuracy = (name: Name) => runs[name].map((run) => run.accuracy);
  return judge({
    claim,
    metric: "share of held-out pictures told right",
    baseline: [low, accuracy(low)],
    measured: [high, accuracy(high)],
    effect: paired(accuracy(high), accuracy(low), (a, b) => a - b - margin),
    test: margin === 0 ? "difference" : `difference against ${margin}`,
    ...(note !== undefined && { note }),
  });
}

/** Mean accuracies as a table. */
export const accuracyTable = (runs: Readonly<Record<string, readonly ClassifierRun[]>>): Table => ({
  title: "After training",
  caption: "Means over seeds.",
  columns: ["model", "held-out accuracy", "training loss at the end", "seconds a run"],
  rows: Object.entries(runs).map(([name, list]) => [
    name,
    mean(list.map(({ accuracy }) => accuracy)),
    mean(list.map(({ losses }) => mean(losses.slice(-Math.ceil(losses.length / 5))))),
    mean(list.map(({ seconds }) => seconds)),
  ]),
});

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

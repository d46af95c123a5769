import { NDArray } from "../../tensor/ndarray.js";
import { checkWhole } from "../batches.js";
import { type BatchParts, batchesPerPass, checkRecipe, makeBatch, type Recipe } from "./batch.js";
import type { ImageDataset } from "./dataset.js";
import { type OpenPort, workerMakers } from "./port.js";

/** `images` float32 [B, C, H, W], `labels` int32 [B], and with mixup or cutmix `targets` float32 [B, classes]. */
export type ImageBatch = { images: NDArray; labels: NDArray; targets?: NDArray };

export interface ImageBatchOptions extends Recipe {
  /** Number of the first batch. */
  readonly start?: number;
  /** The batch number to stop before. Default: one pass. */
  readonly steps?: number;
  /** Threads that decode and augment (default 0: done where it is asked for). Batches are the same for any number. */
  readonly workers?: number;
  /** Batches made ahead, all workers together (default two per worker). */
  readonly prefetch?: number;
  /** Ends the workers at once; the loop throws the signal's reason. */
  readonly signal?: AbortSignal;
}

/** How long the caller waited for batches, in milliseconds; the first one, with the start of the workers, apart. */
export interface Waiting {
  startup: number;
  waited: number;
  /** From the first batch on, the caller's own work included. */
  elapsed: number;
}

export interface ImageBatches extends AsyncGenerator<ImageBatch> {
  readonly waiting: Readonly<Waiting>;
}

/** Makes batches by number. */
export interface Maker {
  make(step: number): Promise<BatchParts>;
  close(): void;
}

/**
 * Batches in an order, and with augmentations, that are functions of (seed, epoch, image) alone. Workers keep at most
 * `prefetch` batches ahead: a caller that does not take them makes them stop.
 *
 * @throws LayerwiseError "argument" for options out of range; what fails in a worker is thrown where its batch is due.
 */
export function loadBatches(dataset: ImageDataset, options: ImageBatchOptions, open: OpenPort): ImageBatches {
  const { start = 0, steps, workers = 0, prefetch = 2 * workers, signal, ...recipe } = options;
  checkRecipe(dataset, recipe);
  checkWhole("start", start, 0, "images");
  checkWhole("workers", workers, 0, "images");
  checkWhole("prefetch", prefetch, Math.min(1, workers), "images");
  if (steps !== undefined) checkWhole("steps", steps, 0, "images");
  const end = steps ?? batchesPerPass(recipe.only?.length ?? dataset.length, recipe);
  const waiting: Waiting = { startup: 0, waited: 0, elapsed: 0 };
  return Object.assign(generate(), { waiting });

  async function* generate(): AsyncGenerator<ImageBatch> {
    signal?.throwIfAborted();
    const maker = workers > 0 ? workerMakers(dataset.source, recipe, workers, open) : mainMaker(dataset, recipe);
    const abort = abortion(signal);
    const queue: Promise<BatchParts>[] = [];
    let next = start;
    const ahead = (): void => {
      while (next < end && queue.length < Math.max(1, prefetch)) {
        const promise = maker.make(next++);
        // A caller that leaves early never awaits it; its failure is then nobody's.
        promise.catch(() => undefined);
        queue.push(promise);
      }
    };
    let begun = performance.now();
    try {
      for (let step = start; step < end; step++) {
        signal?.throwIfAborted();
        const asked = performance.now();
        ahead();
        const parts = await Promise.race([queue.shift() as Promise<BatchParts>, abort.promise]);
        // A batch that was ready already does not win against the signal.
        signal?.throwIfAborted();
        // In its own thread there is nothing to be ahead with.
        if (workers > 0) ahead();
        const now = performance.now();
        if (step === start) {
          waiting.startup = now - asked;
          begun = now;
        } else waiting.waited += now - asked;
        waiting.elapsed = now - begun;
        yield arrays(parts);
      }
    } finally {
      waiting.elapsed = performance.now() - begun;
      abort.dispose();
      maker.close();
    }
  }
}

function arrays({ images, shape, labels, targets }: BatchParts): ImageBatch {
  const rows = labels.length;
  return {
    images: new NDArray(images, shape, "float32"),
    labels: new NDArray(labels, [rows], "int32"),
    ...(targets && { targets: new NDArray(targets, [rows, targets.length / rows], "float32") }),
  };
}

const mainMaker = (dataset: ImageDataset, recipe: Recipe): Maker => ({
  make: (step) => makeBatch(dataset, recipe, step),
  close: () => undefined,
});

/** A promise that fails when the signal does, and the way to stop listening. */
function abortion(signal: AbortSignal | undefined): { promise: Promise<never>; dispose: () => void } {
  let listener = (): void => undefined;
  const promise = new Promise<never>((_, reject) => {
    listener = () => reject(signal?.reason);
    signal?.addEventListener("abort", listener, { once: true });
  });
  promise.catch(() => undefined);
  return { promise, dispose: () => signal?.removeEventListener("abort", listener) };
}

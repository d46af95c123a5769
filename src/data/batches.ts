import { fail } from "../tensor/errors.js";
import { NDArray } from "../tensor/ndarray.js";
import { hash32, keyedPermutation } from "./permutation.js";
import type { TokenStream } from "./tokens.js";

/** `tokens` and `targets` are int32 [size, context]; targets are the tokens one place on. */
export type TextBatch = { tokens: NDArray; targets: NDArray };

export interface BatchOptions {
  /** Windows per batch. */
  size: number;
  /** The batch number to stop before (so a run resumed at `start: 300` with `steps: 500` gives 200 batches). */
  steps?: number;
  /** Instead of `steps`: passes over the text, rounded down to whole batches, at least one batch. Default 1. */
  epochs?: number;
  /** Key of the order. */
  seed?: number;
  /** Number of the first batch. */
  start?: number;
}

/** How a text of `length` tokens is cut into windows of context + 1 tokens, neighbours sharing one token. */
export interface Windows {
  readonly context: number;
  readonly perEpoch: number;
  /** Places the first window of an epoch may begin at. */
  readonly phases: number;
}

/** Training moves the cuts by a phase drawn anew each epoch, so a model does not learn them; validation stays put. */
export function windowsOf(length: number, context: number, moving: boolean): Windows {
  if (!moving) return { context, perEpoch: Math.floor((length - 1) / context), phases: 1 };
  const perEpoch = Math.max(1, Math.floor((length - context) / context));
  return { context, perEpoch, phases: Math.min(context, length - perEpoch * context) };
}

/** Where the `position`-th window begins: a function of (seed, epoch, index in the epoch) alone, nothing is stored. */
export function windowStart(windows: Windows, seed: number): (position: number) => number {
  let epoch = -1;
  let phase = 0;
  let place = (index: number): number => index;
  return (position) => {
    const current = Math.floor(position / windows.perEpoch);
    if (current !== epoch) {
      epoch = current;
      phase = (hash32(seed, epoch, 0x9a5e) >>> 0) % windows.phases;
      place = keyedPermutation(windows.perEpoch, seed, epoch);
    }
    return phase + place(position - epoch * windows.perEpoch) * windows.context;
  };
}

/** Batches in order; the next is read from the disk while the caller works on the current one. */
export async function* batchesOf(
  stream: TokenStream,
  windows: Windows,
  options: BatchOptions,
): AsyncGenerator<TextBatch> {
  const { size, epochs = 1, seed = 0, start = 0 } = options;
  const end = options.steps ?? Math.max(1, Math.floor((epochs * windows.perEpoch) / size));
  const startOf = windowStart(windows, seed);
  let next = start < end ? readBatch(stream, windows.context, startOf, start, size) : undefined;
  for (let step = start; next; step++) {
    const batch: TextBatch = await next;
    next = step + 1 < end ? readBatch(stream, windows.context, startOf, step + 1, size) : undefined;
    // A caller that leaves early never awaits this one; its failure is then nobody's.
    next?.catch(() => undefined);
    yield batch;
  }
}

async function readBatch(
  stream: TokenStream,
  context: number,
  startOf: (position: number) => number,
  step: number,
  size: number,
): Promise<TextBatch> {
  const starts = Array.from({ length: size }, (_, row) => startOf(step * size + row));
  const rows = await Promise.all(starts.map((start) => stream.read(start, context + 1)));
  const tokens = new Int32Array(size * context);
  const targets = new Int32Array(size * context);
  rows.forEach((row, i) => {
    tokens.set(row.subarray(0, context), i * context);
    targets.set(row.subarray(1), i * context);
  });
  return {
    tokens: new NDArray(tokens, [size, context], "int32"),
    targets: new NDArray(targets, [size, context], "int32"),
  };
}

/** @throws LayerwiseError "argument" naming the option. */
export function checkBatchOptions(options: BatchOptions): void {
  checkWhole("size", options.size, 1);
  checkWhole("start", options.start ?? 0, 0);
  checkWhole("seed", options.seed ?? 0, Number.MIN_SAFE_INTEGER);
  if (options.steps !== undefined) checkWhole("steps", options.steps, 0);
  if (options.epochs !== undefined && !(options.epochs > 0 && Number.isFinite(options.epochs)))
    fail("argument", `batches: epochs is ${options.epochs}; expected a positive number`);
  if (options.steps !== undefined && options.epochs !== undefined)
    fail("argument", "batches: steps and epochs are both given; give one");
}

export function checkWhole(name: string, value: number, least: number, where = "batches"): void {
  if (!Number.isSafeInteger(value) || value < least)
    fail(
      "argument",
      `${where}: ${name} is ${value}; expected a whole number${least > -1e9 ? ` of at least ${least}` : ""}`,
    );
}

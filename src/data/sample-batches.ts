import { fail } from "../tensor/errors.js";
import { noTarget } from "../tensor/index.js";
import { NDArray } from "../tensor/ndarray.js";
import { checkWhole } from "./batches.js";
import { packRows } from "./packing.js";
import { keyedPermutation } from "./permutation.js";
import type { Samples } from "./samples.js";

/**
 * `tokens` and `targets` are int32 [size, T]; a target is the token one place on, or −100 where it is not learned.
 *
 * Without packing: `padding` bool [size, T], false behind a sample's end; causal attention does not need it.
 * With packing: `segments` int32 [size, T], 1, 2, … for the samples of a row and 0 behind them, and `positions` int32
 * [size, T], from 0 in each sample.
 */
export type SampleBatch = {
  tokens: NDArray;
  targets: NDArray;
  padding?: NDArray;
  segments?: NDArray;
  positions?: NDArray;
};

export interface SampleBatchOptions {
  /** Rows per batch. */
  readonly size: number;
  /** Most places in a row. Longer samples are an error: `tokenizeRecords` cuts them. */
  readonly context: number;
  /** Put several samples into a row, always `context` long (default false: a sample a row). */
  readonly packing?: boolean;
  /**
   * Rows are as long as the batch's longest, rounded up to a multiple of this and at most `context`. A program is
   * compiled for every length, so few are better (default a quarter of the context: four at most).
   */
  readonly padToMultipleOf?: number;
  /** Only these samples, by number (default all): one side of a split. */
  readonly only?: readonly number[];
  /** Key of the order. */
  readonly seed?: number;
  /** Number of the first batch. */
  readonly start?: number;
  /** The batch number to stop before. Default: one pass, rounded down to whole batches, at least one batch. */
  readonly steps?: number;
}

/**
 * Batches in an order that is a function of (seed, epoch, number) alone, so a run goes on from any batch. A pass ends
 * where its samples do, in the middle of a batch if need be.
 *
 * @throws LayerwiseError "argument" for options out of range, no samples, or a sample longer than a row.
 */
export function sampleBatches(samples: Samples, options: SampleBatchOptions): AsyncGenerator<SampleBatch> {
  const { size, context, seed = 0, start = 0, packing = false } = options;
  const { only = Array.from({ length: samples.count }, (_, i) => i), padToMultipleOf = Math.ceil(context / 4) } =
    options;
  for (const [name, value] of Object.entries({ size, context, padToMultipleOf })) checkWhole(name, value, 1);
  checkWhole("start", start, 0);
  checkWhole("seed", seed, Number.MIN_SAFE_INTEGER);
  if (options.steps !== undefined) checkWhole("steps", options.steps, 0);
  if (only.length === 0) fail("argument", "batches: there are no samples");
  // A sample's last token is only a target.
  const lengths = only.map((sample) => samples.length(sample) - 1);
  const long = lengths.findIndex((length) => length > context || length < 1);
  if (long >= 0)
    fail(
      "argument",
      `batches: sample ${only[long]} has ${(lengths[long] as number) + 1} tokens; expected 2 to ${context + 1}`,
    );
  const rowsOf = packing ? packedRows(lengths, context, seed) : singleRows(only.length, seed);
  const end = options.steps ?? Math.max(1, Math.floor(rowsOf.perEpoch(0) / size));
  const row = rowReader(rowsOf);
  return generate();

  async function* generate(): AsyncGenerator<SampleBatch> {
    for (let step = start; step < end; step++) {
      const rows = Array.from({ length: size }, (_, i) =>
        row(step * size + i).map((k) => samples.signed(only[k] as number)),
      );
      yield packing
        ? packedBatch(rows, context, samples.pad)
        : paddedBatch(rows, { context, padToMultipleOf }, samples.pad);
    }
  }
}

/** The rows of every epoch, each a list of samples. */
interface EpochRows {
  perEpoch(epoch: number): number;
  at(epoch: number, index: number): readonly number[];
}

function singleRows(count: number, seed: number): EpochRows {
  const order = ofEpoch((epoch) => keyedPermutation(count, seed, epoch));
  return { perEpoch: () => count, at: (epoch, index) => [order(epoch)(index)] };
}

function packedRows(lengths: readonly number[], context: number, seed: number): EpochRows {
  const rows = ofEpoch((epoch) => packRows(lengths, context, seed, epoch));
  return { perEpoch: (epoch) => rows(epoch).length, at: (epoch, index) => rows(epoch)[index] as number[] };
}

/** Remembers the last epoch asked for. */
function ofEpoch<T>(make: (epoch: number) => T): (epoch: number) => T {
  let last: { epoch: number; value: T } | undefined;
  return (epoch) => {
    if (last?.epoch !== epoch) last = { epoch, value: make(epoch) };
    return last.value;
  };
}

/** Rows by their number in the whole run, asked for in rising order: epochs may differ in length, so they are walked. */
function rowReader(rows: EpochRows): (number: number) => readonly number[] {
  let [epoch, first] = [0, 0];
  return (number) => {
    while (number >= first + rows.perEpoch(epoch)) first += rows.perEpoch(epoch++);
    return rows.at(epoch, number - first);
  };
}

type Rows = readonly (readonly Int32Array[])[];

function paddedBatch(
  rows: Rows,
  { context, padToMultipleOf: multiple }: { context: number; padToMultipleOf: number },
  pad: number,
): SampleBatch {
  const longest = Math.max(...rows.map(([sample]) => (sample?.length ?? 1) - 1));
  const width = Math.min(context, Math.ceil(longest / multiple) * multiple);
  const padding = new Uint8Array(rows.length * width);
  const batch = fill(rows, width, pad, (start, length) => padding.fill(1, start, start + length));
  return { ...batch, padding: new NDArray(padding, [rows.length, width], "bool") };
}

function packedBatch(rows: Rows, width: number, pad: number): SampleBatch {
  const segments = new Int32Array(rows.length * width);
  const positions = new Int32Array(rows.length * width);
  const batch = fill(rows, width, pad, (start, length, nth) => {
    segments.fill(nth + 1, start, start + length);
    for (let t = 0; t < length; t++) positions[start + t] = t;
  });
  const shape = [rows.length, width];
  return {
    ...batch,
    segments: new NDArray(segments, shape, "int32"),
    positions: new NDArray(positions, shape, "int32"),
  };
}

/** Lays samples into rows from the left; `placed` hears where each stands and which of its row it is. */
function fill(
  rows: Rows,
  width: number,
  pad: number,
  placed: (start: number, length: number, nth: number) => void,
): { tokens: NDArray; targets: NDArray } {
  const tokens = new Int32Array(rows.length * width).fill(pad);
  const targets = new Int32Array(rows.length * width).fill(noTarget);
  rows.forEach((row, r) => {
    let start = r * width;
    row.forEach((sample, nth) => {
      const length = sample.length - 1;
      for (let t = 0; t < length; t++) {
        const [id, next] = [sample[t] as number, sample[t + 1] as number];
        tokens[start + t] = id < 0 ? ~id : id;
        if (next >= 0) targets[start + t] = next;
      }
      placed(start, length, nth);
      start += length;
    });
  });
  const shape = [rows.length, width];
  return { tokens: new NDArray(tokens, shape, "int32"), targets: new NDArray(targets, shape, "int32") };
}

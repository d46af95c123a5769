import { keyedPermutation } from "./permutation.js";

/** Samples considered together: enough for rows that are nearly full, few enough to pack a million in a second. */
const windowSamples = 1024;

/**
 * Rows of one epoch, each a list of samples that fit in `context` places together: samples are shuffled, and within
 * windows of 1,024 the longest first goes to the first row with room (first-fit decreasing). Then rows are shuffled, since
 * packing sorts them. A function of the lengths and the key alone.
 *
 * Source: "Near-optimal bin packing algorithms" (Johnson 1973).
 */
export function packRows(lengths: readonly number[], context: number, ...key: readonly number[]): number[][] {
  const place = keyedPermutation(lengths.length, ...key);
  const rows: number[][] = [];
  for (let start = 0; start < lengths.length; start += windowSamples) {
    const size = Math.min(windowSamples, lengths.length - start);
    rows.push(
      ...firstFitDecreasing(
        Array.from({ length: size }, (_, i) => place(start + i)),
        lengths,
        context,
      ),
    );
  }
  const order = keyedPermutation(rows.length, ...key, 0x9ac4);
  return rows.map((_, i) => rows[order(i)] as number[]);
}

function firstFitDecreasing(samples: number[], lengths: readonly number[], context: number): number[][] {
  const length = (sample: number): number => lengths[sample] as number;
  const rows: number[][] = [];
  const room: number[] = [];
  for (const sample of samples.sort((a, b) => length(b) - length(a))) {
    const found = room.findIndex((left) => left >= length(sample));
    if (found < 0) {
      rows.push([sample]);
      room.push(context - length(sample));
    } else {
      rows[found]?.push(sample);
      room[found] = (room[found] as number) - length(sample);
    }
  }
  return rows;
}

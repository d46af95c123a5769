/** Samples as rows: named arrays with one sample per entry of their first axis. */
import { NDArray } from "../tensor/index.js";

export type Rows = Readonly<Record<string, NDArray>>;

/** How many samples there are. */
export const rowCount = (batch: Rows): number => Object.values(batch)[0]?.shape[0] ?? 0;

/** Rows of every array, in this order. */
export function takeRows<B extends Rows>(batch: B, rows: readonly number[]): B {
  return Object.fromEntries(Object.entries(batch).map(([key, array]) => [key, rowsOf(array, rows)])) as unknown as B;
}

function rowsOf({ data, shape, dtype }: NDArray, rows: readonly number[]): NDArray {
  const width = data.length / (shape[0] as number);
  const out = NDArray.zeros([rows.length, ...shape.slice(1)], dtype);
  for (const [i, row] of rows.entries())
    (out.data as Float32Array).set((data as Float32Array).subarray(row * width, (row + 1) * width), i * width);
  return out;
}

/** Consecutive batches, the last one as short as it comes. */
export function* inBatches<B extends Rows>(batch: B, size: number): Generator<B> {
  const count = rowCount(batch);
  for (let start = 0; start < count; start += size)
    yield takeRows(
      batch,
      Array.from({ length: Math.min(size, count - start) }, (_, i) => start + i),
    );
}

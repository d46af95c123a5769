/** Arrays as matrices, and matrices as few enough cells to be seen. */
import type { NDArray } from "../tensor/index.js";

export interface Matrix {
  /** Where it lies in the array, over all axes but the last two: "0, 3"; "" for the only one. */
  readonly name: string;
  readonly height: number;
  readonly width: number;
  at(row: number, column: number): number;
}

/**
 * An array as matrices over its last two axes, one for each place on the others. Leading axes of 1 count as none; an array
 * with one axis is one row. Nothing is copied.
 */
export function matricesOf(array: NDArray): Matrix[] {
  const shape = [1, ...array.shape].slice(array.shape.length > 1 ? 1 : 0);
  const [height, width] = shape.slice(-2) as [number, number];
  const leading = shape.slice(0, -2);
  const count = leading.reduce((a, b) => a * b, 1);
  return Array.from({ length: count }, (_, m) => ({
    name: count === 1 ? "" : placeOf(m, leading).join(", "),
    height,
    width,
    at: (row: number, column: number) => array.at((m * height + row) * width + column),
  }));
}

function placeOf(index: number, shape: readonly number[]): number[] {
  let rest = index;
  return shape
    .toReversed()
    .map((length) => {
      const at = rest % length;
      rest = Math.floor(rest / length);
      return at;
    })
    .reverse();
}

export const mostCells = 64;

export interface Cells {
  readonly values: readonly (readonly (number | null)[])[];
  /** The first row and column of each cell. */
  readonly rows: readonly number[];
  readonly columns: readonly number[];
  readonly isJoined: boolean;
}

/** |x| in at most 64 × 64 cells, each the largest of its part; null where none is finite. */
export function fewerCells({ height, width, at }: Matrix): Cells {
  const [tall, wide] = [Math.max(1, Math.ceil(height / mostCells)), Math.max(1, Math.ceil(width / mostCells))];
  const starts = (length: number, size: number) => Array.from({ length: Math.ceil(length / size) }, (_, i) => i * size);
  const [rows, columns] = [starts(height, tall), starts(width, wide)];
  const largest = (top: number, left: number): number | null => {
    let most = -1;
    for (let r = top; r < Math.min(height, top + tall); r++)
      for (let c = left; c < Math.min(width, left + wide); c++) {
        const size = Math.abs(at(r, c));
        if (Number.isFinite(size)) most = Math.max(most, size);
      }
    return most < 0 ? null : most;
  };
  return { values: rows.map((r) => columns.map((c) => largest(r, c))), rows, columns, isJoined: tall > 1 || wide > 1 };
}

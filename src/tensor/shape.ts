import { fail } from "./errors.js";

export type Shape = readonly number[];

export const sizeOf = (shape: Shape): number => shape.reduce((product, n) => product * n, 1);
export const formatShape = (shape: Shape): string => `[${shape.join(", ")}]`;
export const sameShape = (a: Shape, b: Shape): boolean => a.length === b.length && a.every((n, i) => n === b[i]);

/** The coordinates of a flat index, and back. */
export const coordinates = (index: number, shape: Shape): number[] =>
  shape.map((n, i) => Math.floor(index / sizeOf(shape.slice(i + 1))) % n);
export const flatIndex = (place: readonly number[], shape: Shape): number =>
  place.reduce((flat, p, i) => flat * (shape[i] as number) + p, 0);

/** NumPy broadcasting: align at the right, 1 stretches. `where` names the operation for the error. */
export function broadcastShapes(where: string, a: Shape, b: Shape): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const m = a[a.length - rank + i] ?? 1;
    const n = b[b.length - rank + i] ?? 1;
    if (m === n || n === 1) return m;
    if (m === 1) return n;
    return fail(
      "shape",
      `${where}: shapes ${formatShape(a)} and ${formatShape(b)} do not broadcast (axis ${i - rank}: ${m} against ${n})`,
    );
  });
}

/** A negative axis counts from the end, as in NumPy. */
export function normalizeAxis(where: string, axis: number, rank: number): number {
  if (!Number.isInteger(axis) || axis < -rank || axis >= rank)
    fail("argument", `${where}: axis ${axis} is outside a tensor of rank ${rank} (allowed: ${-rank}..${rank - 1})`);
  return axis < 0 ? axis + rank : axis;
}

export function normalizeAxes(where: string, axes: number | readonly number[] | undefined, rank: number): number[] {
  if (axes === undefined) return Array.from({ length: rank }, (_, i) => i);
  const list = (typeof axes === "number" ? [axes] : axes).map((axis) => normalizeAxis(where, axis, rank));
  if (new Set(list).size !== list.length) fail("argument", `${where}: axis ${formatShape(list)} names an axis twice`);
  return list.sort((a, b) => a - b);
}

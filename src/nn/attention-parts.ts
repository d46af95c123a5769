/** The pieces that attention is computed in: some rows of queries with the keys that they can reach. */
import { customGradient, type Tensor } from "../tensor/index.js";
import type { Mask } from "./mask.js";

/** softmax(s) v. In the gradient, Σⱼ pⱼ ∂pⱼ of a row is taken as ∂y · y: over a head's width instead of all keys. */
export function softmaxProduct(s: Tensor, v: Tensor): Tensor {
  const p = s.softmax(-1);
  return customGradient(
    [s, v],
    () => p.matmul(v),
    (g, y) => {
      const through = g.matmul(v.transpose([0, 1, 3, 2])).sub(g.mul(y).sum(-1, { keepDims: true }));
      return [p.mul(through), p.transpose([0, 1, 3, 2]).matmul(g)];
    },
  );
}

export type Range = readonly [first: number, end: number];
export interface Part {
  readonly rows: Range;
  readonly keys: Range;
}

export const whole = (rows: number, keys: number): Part => ({ rows: [0, rows], keys: [0, keys] });

/** Rows of queries with the keys that they can reach, in up to 4 parts of at least 128 rows. */
export function parts(mask: Mask, T: number): Part[] {
  const count = mask.reach ? Math.min(4, Math.floor(T / 128)) : 1;
  if (count < 2) return [whole(T, T)];
  return Array.from({ length: count }, (_, i) => {
    const rows: Range = [Math.floor((i * T) / count), Math.floor(((i + 1) * T) / count)];
    return { rows, keys: (mask.reach as NonNullable<Mask["reach"]>)(...rows) };
  });
}

export const cut = (x: Tensor, [first, end]: Range, axis = 2): Tensor =>
  first === 0 && end === x.dim(axis) ? x : x.slice({ axis, start: first, end });

export interface Places {
  readonly query: Tensor;
  readonly key: Tensor;
  readonly padding: Tensor | undefined;
  readonly segments: { readonly query: Tensor; readonly key: Tensor } | undefined;
}

/** The places of some queries and keys. */
export function partOf({ query, key, padding, segments }: Places, { rows, keys }: Part): Places {
  return {
    query: cut(query, rows, -1),
    key: cut(key, keys, -1),
    padding: padding && cut(padding, keys, -1),
    segments: segments && { query: cut(segments.query, rows, -1), key: cut(segments.key, keys, -1) },
  };
}

/** Values [n] or [batch, n] of tokens as rows (axis -1) or columns (axis -2) of the scores [batch, heads, rows, columns]. */
export function alongScores(positions: Tensor, axis: -1 | -2): Tensor {
  const line = positions.unsqueeze(axis === -1 ? positions.rank : positions.rank - 1);
  return positions.rank === 1 ? line : line.unsqueeze(1);
}

export const both = (a: Tensor | undefined, b: Tensor | undefined): Tensor | undefined =>
  a && b ? a.and(b) : (a ?? b);

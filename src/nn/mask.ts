/**
 * Which keys a query may see, as a value: a function of their positions, so masks compose and cost nothing to keep.
 *
 *   causal():          key ≤ query
 *   slidingWindow(w):  query − w < key ≤ query
 *   prefix(n):         causal, and everybody sees the first n keys (a prefix language model)
 *   bidirectional():   everything
 */
import { fail } from "../tensor/errors.js";
import type { Tensor } from "../tensor/index.js";

export interface Mask {
  /**
   * `query` [.., tokens, 1] and `key` [.., 1, keys] are int32 positions; gives bool that broadcasts to
   * [batch, heads, tokens, keys]; nothing: all visible.
   */
  visible(query: Tensor, key: Tensor): Tensor | undefined;
  /** Every query sees at least one key, so no row of the scores is empty. */
  readonly everyRowSees: boolean;
  /** No query sees further back than this many keys, itself included: a cache need not keep more. */
  readonly window?: number;
  /** The keys [first, end) that queries [first, end) may see, where that is less than all: the rest is not computed. */
  reach?(first: number, end: number): readonly [first: number, end: number];
}

export const bidirectional = (): Mask => ({ visible: () => undefined, everyRowSees: true });

export const causal = (): Mask => ({
  visible: (query, key) => key.lessEqual(query),
  everyRowSees: true,
  reach: (_, end) => [0, end],
});

/** Mistral's window: a query sees itself and the `width − 1` keys before it. */
export function slidingWindow(width: number): Mask {
  if (!Number.isInteger(width) || width < 1)
    fail("argument", `slidingWindow: expected a positive whole number of keys, got ${width}`);
  return {
    visible: (query, key) => key.lessEqual(query).and(query.sub(key).less(width)),
    everyRowSees: true,
    window: width,
    reach: (first, end) => [Math.max(0, first - width + 1), end],
  };
}

/** `length`: a number, or int32 [batch, 1, 1, 1] with a prefix for every sequence. */
export function prefix(length: number | Tensor): Mask {
  if (typeof length === "number" && (!Number.isInteger(length) || length < 0))
    fail("argument", `prefix: expected a whole number of keys, got ${length}`);
  return { visible: (query, key) => key.lessEqual(query).or(key.less(length)), everyRowSees: true };
}

/** A mask of your own: `visible(query, key)` of int32 positions. */
export const mask = (visible: Mask["visible"]): Mask => ({ visible, everyRowSees: false });

/** Visible where all of the masks agree. */
export const allOf = (...masks: readonly Mask[]): Mask => ({
  visible: (query, key) => combine(masks, query, key, (a, b) => a.and(b)),
  everyRowSees: false,
});

function combine(
  masks: readonly Mask[],
  query: Tensor,
  key: Tensor,
  join: (a: Tensor, b: Tensor) => Tensor,
): Tensor | undefined {
  const parts = masks.map((m) => m.visible(query, key)).filter((part) => part !== undefined);
  return parts.length === 0 ? undefined : parts.reduce(join);
}

/** One layer in one direction, step after step. */
import { type Tensor, where } from "../../tensor/index.js";
import type { Cell, CellWeights } from "./cell.js";

export interface Run {
  /** States after every step, in the order of time, whatever the direction; h first. */
  readonly states: readonly (readonly Tensor[])[];
  /** After the last step read: in reverse the one of time 0. */
  readonly last: readonly Tensor[];
}

export interface RunInputs {
  readonly x: Tensor; // [T, B, inputs]
  readonly start: readonly Tensor[]; // each [B, H]
  readonly masks: readonly Tensor[] | undefined; // bool [B, 1] for every step
  readonly reverse: boolean;
}

export function run(cell: Cell, weights: CellWeights, { x, start, masks, reverse }: RunInputs): Run {
  const given = cell.project(weights, x).map(unstack); // by tensor, by step
  const order = Array.from({ length: x.dim(0) }, (_, i) => (reverse ? x.dim(0) - 1 - i : i));
  const states: (readonly Tensor[])[] = [];
  const last = order.reduce((state, t) => {
    const next = cell.step(
      weights,
      given.map((steps) => steps[t] as Tensor),
      state,
    );
    const mask = masks?.[t];
    const kept = mask ? next.map((value, s) => where(mask, value, state[s] as Tensor)) : next;
    states[t] = kept;
    return kept;
  }, start);
  return { states, last };
}

/**
 * Along the first axis into tensors without it. Halves of halves: the gradient of a slice is as large as what it was cut
 * from, so cutting T slices from the whole would cost T² in the backward pass instead of T log T.
 */
export function unstack(x: Tensor): Tensor[] {
  const n = x.dim(0);
  if (n === 1) return [x.squeeze(0)];
  const middle = Math.ceil(n / 2);
  return [...unstack(x.slice({ end: middle })), ...unstack(x.slice({ start: middle }))];
}

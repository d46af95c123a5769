/**
 * Keys and values of the tokens so far, in variables that the programs of a generator share. A layer that sees
 * everything has a slot for every position; a layer with a window of R keeps R slots and writes position p to slot
 * p mod R, so its cache does not grow with the text.
 */
import { type Attention, type KeyValueCache, type Seen, unreachable } from "../../nn/index.js";
import { arange, concat, NDArray, type Tensor, Variable, where } from "../../tensor/index.js";

interface Slots {
  readonly keys: Variable; // [batch, key/value heads, slots, head width]
  readonly values: Variable;
}

/** Where the tokens of one run stand: row b has `count[b]` of them (the rest is padding), from position `start[b]` on. */
export interface Span {
  readonly start: Tensor; // int32 [batch, 1]
  readonly count: Tensor; // int32 [batch, 1]
}

export class VariableCache {
  readonly #slots = new Map<Attention, Slots>();

  constructor(
    readonly batch: number,
    /** Positions 0 … capacity − 1 can be used. */
    readonly capacity: number,
  ) {}

  /** For one run of a program: what attention reads and writes. */
  over({ start, count }: Span): KeyValueCache {
    return {
      length: this.capacity,
      update: (layer, keys, values, positions) => {
        const own = this.#of(layer);
        const slots = own.keys.dim(2);
        const newest = count.add(start).sub(1);
        const after = held(newest, slots); // [batch, slots]
        const index = after.sub(start).clamp({ min: 0, max: keys.dim(2) - 1 });
        const isNew = after.greaterEqual(start).and(after.lessEqual(newest));
        const place = (old: Variable, fresh: Tensor): Tensor => {
          const [B, , N, W] = old.shape as [number, number, number, number];
          const moved =
            fresh.dim(2) === 1
              ? fresh
              : fresh.takeAlongAxis(index.reshape([B, 1, N, 1]).expand([B, fresh.dim(1), N, W]), 2);
          const next = where(isNew.reshape([B, 1, N, 1]), moved, old);
          old.assign(next);
          return next;
        };
        const next = { keys: place(own.keys, keys), values: place(own.values, values) };
        if (slots === this.capacity) return { ...next, positions: arange(slots).unsqueeze(0) };
        return window(own, { keys, values, positions }, held(start.sub(1), slots));
      },
    };
  }

  /** How many tokens of `wanted` need not be read again when the cache holds `held`; the last one is always read. */
  reusable(held: readonly number[], wanted: readonly number[]): number {
    let n = 0;
    while (n < held.length && n < wanted.length && held[n] === wanted[n]) n++;
    const hasWindow = [...this.#slots.values()].some(({ keys }) => keys.dim(2) < this.capacity);
    // A window has forgotten what its later tokens stand upon; one step back still is within it.
    if (hasWindow && n < held.length) return 0;
    return Math.min(n, wanted.length - 1);
  }

  release(): void {
    for (const { keys, values } of this.#slots.values()) for (const variable of [keys, values]) variable.release();
  }

  #of(layer: Attention): Slots {
    const known = this.#slots.get(layer);
    if (known) return known;
    const slots = Math.min(this.capacity, layer.mask.window ?? this.capacity);
    const make = (name: string) =>
      new Variable(NDArray.zeros([this.batch, layer.kvHeads, slots, layer.headWidth]), { name, trainable: false });
    const made = { keys: make("cache.keys"), values: make("cache.values") };
    this.#slots.set(layer, made);
    return made;
  }
}

/** The position in each of R slots when `newest` [batch, 1] was the last one written: the largest ≤ newest with q ≡ s (mod R). */
function held(newest: Tensor, slots: number): Tensor {
  const behind = newest.sub(arange(slots).unsqueeze(0)); // [batch, slots], ≥ −slots
  const position = newest.sub(behind.add(slots).mod(slots));
  return where(position.less(0), unreachable, position);
}

/** What was in the window before this run, then this run's own. */
const window = (old: Slots, fresh: Seen, before: Tensor): Seen => ({
  keys: concat([old.keys, fresh.keys], 2),
  values: concat([old.values, fresh.values], 2),
  positions: concat([before, fresh.positions], 1),
});

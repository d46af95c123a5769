/**
 * Where keys and values of a text's tokens are kept: the position p of a row has slot p mod n of the n that a layer has.
 * A layer that sees everything has one for each position up to the capacity; a layer with a window of w has w and as many
 * as are read at once (`chunk`), so that no token of a run is written over what another one of it still sees. One slot
 * more takes the padding of shorter rows and is never seen.
 */
import { unreachable } from "../../nn/index.js";
import { NDArray } from "../../tensor/index.js";

/** Tokens that one run reads at most: scores of a longer prompt would need memory with the square of its length. */
export const chunk = 256;

/** The tokens of a row in one run: `count` of them (the rest is padding), from position `start` on. */
export interface Span {
  readonly start: number;
  readonly count: number;
}

/** Slots with a position in each layer whose window is this. */
export const slotsOf = (window: number | undefined, capacity: number): number =>
  Math.min(capacity, window === undefined ? capacity : window + chunk);

/** The slot of each token of a run: int32 [batch, length]. */
export function places(spans: readonly Span[], length: number, slots: number): NDArray {
  const data = new Int32Array(spans.length * length).fill(slots);
  for (const [b, { start, count }] of spans.entries())
    for (let t = 0; t < count; t++) data[b * length + t] = (start + t) % slots;
  return new NDArray(data, [spans.length, length], "int32");
}

/** The position in each slot after a run, int32 [batch, slots + 1]: the largest one so far with that slot. */
export function positionsHeld(spans: readonly Span[], slots: number): NDArray {
  const data = new Int32Array(spans.length * (slots + 1)).fill(unreachable);
  for (const [b, { start, count }] of spans.entries()) {
    const end = start + count;
    for (let p = Math.max(0, end - slots); p < end; p++) data[b * (slots + 1) + (p % slots)] = p;
  }
  return new NDArray(data, [spans.length, slots + 1], "int32");
}

/** Keys or values [batch, heads, slots + 1, width] with more slots; only for layers whose slots are their positions. */
export function grown(array: NDArray, slots: number): NDArray {
  const [batch, heads, old, width] = array.shape as [number, number, number, number];
  const result = NDArray.zeros([batch, heads, slots + 1, width], "float32");
  const used = (old - 1) * width;
  for (let i = 0; i < batch * heads; i++) {
    const from = i * old * width;
    (result.data as Float32Array).set(
      (array.data as Float32Array).subarray(from, from + used),
      i * (slots + 1) * width,
    );
  }
  return result;
}

/** Results of the engine held against the interpreter, and their error against what rounding alone does to a graph. */
import { formatShape, type NDArray, sameShape, type Tensor } from "../../src/tensor/index.js";
import type { Value } from "./interpreter/value.js";
import { interpret } from "./interpreter.js";

export interface Expected {
  readonly exact: Value;
  /** The largest difference that rounding every operation's result to float32 makes. */
  readonly rounding: number;
}

const distance = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((largest, x, i) => Math.max(largest, Math.abs(x - (b[i] as number))), 0);
const magnitude = (a: ArrayLike<number>): number => Array.from(a).reduce((m, x) => Math.max(m, Math.abs(x)), 0.1);

/** Undefined where rounding alone decides the result: a jump was crossed, or the digits cancelled. */
export function expectedOf(
  outputs: readonly Tensor[],
  feeds: ReadonlyMap<Tensor, Value>,
): readonly (Expected | undefined)[] {
  const rounded = interpret(outputs, feeds, { single: true });
  return interpret(outputs, feeds).map((exact, i) => {
    const rounding = distance(exact.data, (rounded[i] as Value).data);
    return rounding < 1e-3 * magnitude(exact.data) ? { exact, rounding } : undefined;
  });
}

/** What is wrong with a result, "" if nothing. Engines round in another order and approximate exp: hence the factors. */
export function deviation({ exact, rounding }: Expected, actual: NDArray): string {
  if (!sameShape(actual.shape, exact.shape))
    return `shape ${formatShape(actual.shape)}, expected ${formatShape(exact.shape)}`;
  const found = distance(exact.data, actual.toNumbers());
  return found <= 2e-5 * magnitude(exact.data) + 20 * rounding ? "" : `off by ${found}, of which rounding ${rounding}`;
}

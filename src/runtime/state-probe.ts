/** The part of the probe that a training stands on: values that a program updates and is fed again. */
import type { DeviceArray, NDArray, Tensor } from "../tensor/index.js";
import type { Backend } from "./backend.js";

export const stateNames = ["moment", "weight"] as const;
export type State<T> = Readonly<Record<(typeof stateNames)[number], T>>;

type Arrays = ReadonlyMap<string, DeviceArray>;
/** The program with these values of the state, by input, and buffers to be written to, by output; gives all outputs. */
export type Run = (state: Arrays, spares: Arrays) => Promise<Arrays>;

const rounds = 3;
const nextOf = (name: string): string => `next ${name}`;

/** As an optimiser does it: m' = m/2 + x, w' = w − m'/4. */
export function nextState(x: Tensor, { moment, weight }: State<Tensor>): Map<string, Tensor> {
  const next = moment.mul(0.5).add(x);
  return new Map([
    [nextOf("moment"), next],
    [nextOf("weight"), weight.sub(next.mul(0.25))],
  ]);
}

/**
 * Runs the program again and again as trainings do: new values are fed where they were computed, and old ones' buffers
 * given to be written to. `check` is told each value, its name and what it should be.
 */
export async function checkState(
  backend: Backend,
  run: Run,
  inputs: ReadonlyMap<string, string>,
  { x, ...start }: State<NDArray> & { readonly x: NDArray },
  check: (name: string, got: NDArray, expected: readonly number[]) => void,
): Promise<void> {
  const read = async (name: string, array: DeviceArray, expected: readonly number[]) =>
    check(name, await array.read(), expected);
  const current = new Map<string, DeviceArray>();
  const spares = new Map<string, DeviceArray>();
  for (const name of stateNames) current.set(name, await backend.place(start[name]));
  const added = x.toNumbers();
  let known: State<readonly number[]> = { moment: start.moment.toNumbers(), weight: start.weight.toNumbers() };
  for (let round = 1; round <= rounds; round++) {
    const fed = stateNames.map((name) => [inputs.get(name) as string, current.get(name) as DeviceArray] as const);
    const results = await run(new Map(fed), spares);
    const moment = known.moment.map((m, i) => m / 2 + (added[i] as number));
    const next = { moment, weight: known.weight.map((w, i) => w - (moment[i] as number) / 4) };
    for (const name of stateNames) {
      const old = current.get(name) as DeviceArray;
      const made = results.get(nextOf(name)) as DeviceArray;
      await read(`${name} after ${round} updates`, made, next[name]);
      // A step that is not committed goes back to it.
      await read(`${name} before update ${round}, kept`, old, known[name]);
      current.set(name, made);
      if (backend.fillsOutputs) spares.set(nextOf(name), old);
      else old.release();
    }
    known = next;
  }
  for (const array of [...current.values(), ...spares.values()]) array.release();
}

/** Running a session: what is fed, what is read, and where the new values of variables go. */
import { type DeviceArray, draw, fail, NDArray, type Nested, Tensor, type Variable } from "../tensor/index.js";
import type { Backend } from "./backend.js";
import type { Executable } from "./program.js";

/** What a program takes: arrays, or numbers and nested numbers (as float32). */
export type Feed = NDArray | Nested;
export type Arrays = Readonly<Record<string, NDArray>>;

/** What it takes to run one, traced here or loaded from a file. */
export type Runnable = Pick<
  Executable,
  "backend" | "session" | "inputs" | "variables" | "random" | "outputs" | "updates" | "observed"
>;

/** The position of the random streams of one run. */
export interface Position {
  readonly seed: number;
  readonly step: number;
}

export function toArrays(feeds: Readonly<Record<string, Feed>>): Record<string, NDArray> {
  return Object.fromEntries(
    Object.entries(feeds ?? {}).map(([name, value]) => {
      if (value === undefined || value === null)
        fail("argument", `program: input "${name}" is ${value}; expected an NDArray or numbers`);
      if (value instanceof Tensor)
        fail("argument", `program: input "${name}" is a lazy tensor; feed its values: await tensor.data()`);
      return [name, value instanceof NDArray ? value : NDArray.from(value)];
    }),
  );
}

/** The array of a variable on this backend, uploading it when it lives elsewhere. */
async function resident(variable: Variable, backend: Backend): Promise<DeviceArray> {
  const { current } = variable;
  if (!(current instanceof NDArray) && current.backend === backend) return current;
  const host = current instanceof NDArray ? current : await current.read();
  // A copy: programs write to the buffers of variables, never to an array that a user still holds.
  const placed = await backend.place(host);
  variable.release();
  variable.current = placed;
  return placed;
}

/** Everything a run reads: inputs, random numbers, variables; by the names they have in the model. */
export async function feedsOf(
  { backend, inputs, variables, random }: Pick<Runnable, "backend" | "inputs" | "variables" | "random">,
  feeds: Arrays,
  position: Position,
): Promise<Map<string, DeviceArray>> {
  const fed = new Map<string, DeviceArray>();
  for (const [name, inner] of inputs)
    fed.set(inner, backend.upload(feeds[name] ?? fail("argument", `program: input "${name}" is missing`)));
  for (const { name, attributes } of random)
    fed.set(name, backend.upload(new NDArray(draw(attributes, position), attributes.shape, "float32")));
  for (const [variable, name] of variables) fed.set(name, await resident(variable, backend));
  return fed;
}

let queue: Promise<unknown> = Promise.resolve();

/** After all that came before: runs read and swap variables that other programs share, so only one goes on at a time. */
export function inTurn<T>(task: () => Promise<T>): Promise<T> {
  const result = queue.then(task);
  queue = result.catch(() => {});
  return result;
}

/** The outputs that are fed again and can stay where they are computed. */
export const keptOnDevice = (updates: ReadonlyMap<Variable, string>, backend: Backend): string[] =>
  [...updates].flatMap(([{ dtype }, name]) => (backend.holds(dtype) ? [name] : []));

export type Commit = (results: Arrays) => boolean;

/** Run once; assignments take effect where `commit` agrees. */
export async function runSession(
  executable: Runnable,
  feeds: Arrays,
  position: Position,
  commit: Commit,
): Promise<Record<string, NDArray> & { readonly observed: Arrays }> {
  const { backend, session, updates, outputs, observed } = executable;
  const fed = await feedsOf(executable, feeds, position);
  const spares = new Map<string, DeviceArray>();
  for (const [variable, name] of updates) if (variable.spare?.backend === backend) spares.set(name, variable.spare);
  const results = await session.run(fed, [...outputs, ...observed.values(), ...updates.values()], spares);
  const read = async (name: string) => (results.get(name) as DeviceArray).read();
  const record = async (entries: Iterable<readonly [string, string]>) =>
    Object.fromEntries(await Promise.all(Array.from(entries, async ([key, name]) => [key, await read(name)] as const)));
  const result = await record(outputs.map((name) => [name, name] as const));
  const taps = await record(observed);
  const keep = commit(result);
  for (const [variable, name] of updates) {
    const written = results.get(name) as DeviceArray;
    if (keep) swap(variable, written, backend);
    else keepSpare(variable, written, backend);
  }
  Object.defineProperty(result, "observed", { value: taps, enumerable: observed.size > 0 });
  return result as Record<string, NDArray> & { readonly observed: Arrays };
}

/** The new value becomes current, and the old one's buffer the spare. */
function swap(variable: Variable, next: DeviceArray, backend: Backend): void {
  const previous = variable.current;
  if (variable.spare === next) variable.spare = undefined;
  variable.current = next;
  variable.version++;
  if (!(previous instanceof NDArray)) keepSpare(variable, previous, backend);
}

/** A buffer that holds nothing of worth is kept to be written next time, if the engine can use it. */
function keepSpare(variable: Variable, buffer: DeviceArray, backend: Backend): void {
  if (variable.spare === buffer) return;
  if (backend.fillsOutputs && buffer.backend === backend && variable.spare === undefined) variable.spare = buffer;
  else buffer.release();
}

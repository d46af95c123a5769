/** A traced function as one compiled program: variables are read and written on the backend, inputs fed, outputs read. */
import { files } from "#host";
import { encodeModel, type LoweredProgram, lower } from "../compile/lower.js";
import { optimize } from "../compile/passes.js";
import {
  type DeviceArray,
  type DType,
  draw,
  fail,
  input,
  NDArray,
  type Nested,
  newTrace,
  type Shape,
  structureRevision,
  Tensor,
  type Variable,
  withTrace,
} from "../tensor/index.js";
import type { Backend, BackendName, BackendOptions, Session } from "./backend.js";
import { defaultBackend, getBackend } from "./backends.js";
import { type ExplainOptions, type Explanation, explain } from "./explain.js";
import { observedTensors } from "./observed.js";
import { encodeProgram } from "./saved.js";

/** What a program takes: arrays, or numbers and nested numbers (as float32). */
export type Feed = NDArray | Nested;
export type Inputs = Readonly<Record<string, Tensor>>;
export type Outputs = Readonly<Record<string, Tensor>>;
export type Results<O extends Outputs> = { readonly [K in keyof O]: NDArray } & {
  /** What `observe` added, by path. */
  readonly observed: Readonly<Record<string, NDArray>>;
};

export interface CompileOptions extends BackendOptions {
  /** Which engine runs it; default: LAYERWISE_BACKEND, else the host's best. */
  readonly backend?: BackendName | undefined;
  /** Seed of the program's random numbers. */
  readonly seed?: number;
  /** How many input shapes are kept compiled (the least recently used goes first). */
  readonly cacheSize?: number;
  /** Simplify the graph before lowering (default true); off only to compare. */
  readonly passes?: boolean;
  readonly name?: string;
  /**
   * Whether a run's assignments are kept (default: always). Where it gives false every variable keeps its value from
   * before the run, at no cost: a step whose loss is not finite leaves no trace.
   */
  readonly commit?: (results: Readonly<Record<string, NDArray>>) => boolean;
}

export interface Program<I extends Inputs, O extends Outputs> {
  (feeds: { readonly [K in keyof I]: Feed }): Promise<Results<O>>;
  /** Runs so far: the position of the program's random streams. Set it to resume. */
  step: number;
  /** Compile for these inputs without running; what `explain` and `save` work on. */
  prepare(feeds?: { readonly [K in keyof I]: Feed }): Promise<Executable>;
  /** What it costs, by module: of these inputs, or of the last ones. `console.log(String(await program.explain()))`. */
  explain(feeds?: { readonly [K in keyof I]: Feed }, options?: ExplainOptions): Promise<Explanation>;
  /** As an ONNX file with a probe, for these inputs or the last ones. */
  encode(feeds?: { readonly [K in keyof I]: Feed }): Promise<Uint8Array>;
  /** `encode` into a file that any ONNX viewer opens and `load` brings back (Node only). */
  save(path: string, feeds?: { readonly [K in keyof I]: Feed }): Promise<void>;
  /** How many variants are compiled now. */
  readonly cached: number;
  release(): Promise<void>;
}

/** One compiled variant: a fixed set of input shapes. */
export interface Executable extends LoweredProgram {
  readonly backend: Backend;
  readonly session: Session;
  readonly model: LoweredProgram["model"];
  readonly outputs: readonly string[];
  readonly updates: ReadonlyMap<Variable, string>;
  readonly observed: ReadonlyMap<string, string>;
}

/** What it takes to run one, traced here or loaded from a file. */
export type Runnable = Pick<
  Executable,
  "backend" | "session" | "inputs" | "variables" | "random" | "outputs" | "updates" | "observed"
>;

/**
 * Compile `fn`, which builds a graph from its inputs and returns named tensors. It is traced once per set of input
 * shapes; calling the program runs it. Assignments inside take effect after the run, all at once.
 */
export function compile<I extends Inputs = Inputs, O extends Outputs = Outputs>(
  fn: (inputs: I) => O,
  options: CompileOptions = {},
): Program<I, O> {
  const { cacheSize = 8, seed = 0, commit = () => true } = options;
  const cache = new Map<string, Promise<Executable>>();
  let last: string | undefined;
  let lastFeeds: Readonly<Record<string, NDArray>> | undefined;
  let queue: Promise<unknown> = Promise.resolve();

  const prepare = async (feeds: Readonly<Record<string, NDArray>>): Promise<Executable> => {
    const key = signature(feeds);
    const known = cache.get(key) ?? build(fn, feeds, options);
    cache.delete(key);
    cache.set(key, known);
    last = key;
    known.catch(() => cache.delete(key));
    for (const [oldest, executable] of cache) {
      if (cache.size <= cacheSize) break;
      cache.delete(oldest);
      executable.then(({ session }) => session.release()).catch(() => {});
    }
    return known;
  };

  const program = (feeds: { readonly [K in keyof I]: Feed }): Promise<Results<O>> => {
    const run = queue.then(async () => {
      const arrays = toArrays(feeds);
      const executable = await prepare(arrays);
      lastFeeds = arrays;
      const results = await runSession(executable, arrays, { seed, step: program.step, commit });
      program.step++;
      return results as Results<O>;
    });
    queue = run.catch(() => {}); // one run at a time: variables are swapped between runs
    return run;
  };
  program.step = 0;
  program.prepare = async (feeds?: { readonly [K in keyof I]: Feed }): Promise<Executable> => {
    if (feeds) return prepare(toArrays(feeds));
    const known = last === undefined ? undefined : cache.get(last);
    return known ?? fail("argument", "program: run it once, or give inputs, so that their shapes are known");
  };
  program.explain = async (feeds?: { readonly [K in keyof I]: Feed }, explainOptions: ExplainOptions = {}) =>
    explain(await program.prepare(feeds), feeds ? toArrays(feeds) : lastFeeds, explainOptions);
  program.encode = async (feeds?: { readonly [K in keyof I]: Feed }) =>
    encodeProgram(await program.prepare(feeds), feeds ? toArrays(feeds) : lastFeeds);
  program.save = async (path: string, feeds?: { readonly [K in keyof I]: Feed }) =>
    files ? files.write(path, await program.encode(feeds)) : fail("file", "save: this host has no files; use encode");
  program.release = async (): Promise<void> => {
    await queue;
    const all = [...cache.values()];
    cache.clear();
    await Promise.all(all.map(async (executable) => (await executable).session.release()));
  };
  Object.defineProperty(program, "cached", { get: () => cache.size });
  return program as Program<I, O>;
}

const signature = (feeds: Readonly<Record<string, NDArray>>): string =>
  `${structureRevision()};${Object.entries(feeds)
    .map(([name, { dtype, shape }]) => `${name}:${dtype}${shape.join("x")}`)
    .join(";")}`;

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

interface Traced {
  readonly outputs: ReadonlyMap<string, Tensor>;
  readonly updates: ReadonlyMap<Variable, string>;
  readonly observed: ReadonlyMap<string, string>;
  readonly results: readonly string[];
}

/** Run `fn` on input tensors of these shapes, and gather all that the program must compute, by name. */
function traceProgram(
  fn: (inputs: never) => Outputs,
  feeds: Readonly<Record<string, { shape: Shape; dtype: DType }>>,
  passes: boolean,
): Traced {
  const trace = newTrace();
  const named = withTrace(trace, () => {
    const inputs = Object.fromEntries(
      Object.entries(feeds).map(([name, { shape, dtype }]) => [name, input([], { name, shape, dtype })]),
    );
    return fn(inputs as never);
  });
  if (named === null || typeof named !== "object" || named instanceof Tensor)
    fail("trace", "compile: the function must return an object of tensors, e.g. { loss }");
  const outputs = new Map<string, Tensor>();
  for (const [name, tensor] of Object.entries(named)) {
    if (!(tensor instanceof Tensor)) fail("trace", `compile: output "${name}" is ${typeof tensor}, expected a Tensor`);
    outputs.set(name, tensor);
  }
  const results = [...outputs.keys()];
  const observed = new Map<string, string>();
  const taps = withTrace(trace, () => observedTensors(trace, outputs.values()));
  for (const [path, tensor] of taps) observed.set(path, addUnique(outputs, `observed ${path}`, tensor));
  const updates = new Map<Variable, string>();
  for (const [variable, tensor] of trace.assignments)
    updates.set(variable, addUnique(outputs, `next ${variable.name || "variable"}`, tensor));
  const optimized = passes ? optimize([...outputs.values()]) : [...outputs.values()];
  return {
    outputs: new Map([...outputs.keys()].map((name, i) => [name, optimized[i] as Tensor])),
    updates,
    observed,
    results,
  };
}

function addUnique(outputs: Map<string, Tensor>, name: string, tensor: Tensor): string {
  let unique = name;
  for (let i = 1; outputs.has(unique); i++) unique = `${name} ${i}`;
  outputs.set(unique, tensor);
  return unique;
}

async function build(
  fn: (inputs: never) => Outputs,
  feeds: Readonly<Record<string, NDArray>>,
  { backend: name, passes = true, name: title = "program", ...options }: CompileOptions,
): Promise<Executable> {
  const { outputs, updates, observed, results } = traceProgram(fn, feeds, passes);
  const backend = await (name ? getBackend(name, options) : defaultBackend(options));
  const lowered = lower(outputs, title, backend.name);
  const session = await backend.createSession(encodeModel(lowered.model), { onDevice: [...updates.values()] });
  return { ...lowered, backend, session, outputs: results, updates, observed };
}

/** The array of a variable on this backend, uploading it when it lives elsewhere. */
async function resident(variable: Variable, backend: Backend): Promise<DeviceArray> {
  const { current } = variable;
  if (!(current instanceof NDArray) && current.backend === backend) return current;
  const host = current instanceof NDArray ? current : await current.read();
  variable.release();
  // A copy: programs write to the buffers of variables, never to an array that a user still holds.
  variable.current = backend.upload(new NDArray(host.data.slice(), host.shape, host.dtype));
  return variable.current;
}

/** Everything a run reads: inputs, random numbers, variables; by the names they have in the model. */
export async function feedsOf(
  { backend, inputs, variables, random }: Runnable,
  feeds: Readonly<Record<string, NDArray>>,
  stream: { readonly seed: number; readonly step: number },
): Promise<Map<string, DeviceArray>> {
  const fed = new Map<string, DeviceArray>();
  for (const [name, inner] of inputs)
    fed.set(inner, backend.upload(feeds[name] ?? fail("argument", `program: input "${name}" is missing`)));
  for (const { name, attributes } of random)
    fed.set(name, backend.upload(new NDArray(draw(attributes, stream), attributes.shape, "float32")));
  for (const [variable, name] of variables) fed.set(name, await resident(variable, backend));
  return fed;
}

export async function runSession(
  executable: Runnable,
  feeds: Readonly<Record<string, NDArray>>,
  { seed, step, commit }: Required<Pick<CompileOptions, "seed" | "commit">> & { readonly step: number },
): Promise<Results<Outputs>> {
  const { backend, session, updates, outputs, observed } = executable;
  const fed = await feedsOf(executable, feeds, { seed, step });
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
    if (keep) swap(variable, written);
    else discard(variable, written);
  }
  Object.defineProperty(result, "observed", { value: taps, enumerable: observed.size > 0 });
  return result as Results<Outputs>;
}

/** The new value becomes current; the old buffer is kept to be written next time, if the engine can use it. */
function swap(variable: Variable, next: DeviceArray): void {
  const previous = variable.current;
  if (previous instanceof NDArray || previous === next) {
    variable.current = next;
    return;
  }
  if (variable.spare && variable.spare !== next) variable.spare.release();
  variable.spare = previous;
  variable.current = next;
}

/** The value is not wanted, its buffer may be. */
function discard(variable: Variable, written: DeviceArray): void {
  if (variable.spare === undefined) variable.spare = written;
  else if (variable.spare !== written) written.release();
}

/** The values of several lazy tensors, in one program. */
export async function evaluate(tensors: readonly Tensor[], options: CompileOptions = {}): Promise<NDArray[]> {
  const program = compile(() => Object.fromEntries(tensors.map((tensor, i) => [`value${i}`, tensor])), options);
  try {
    const results = await program({});
    return tensors.map((_, i) => results[`value${i}`] as NDArray);
  } finally {
    await program.release();
  }
}

/** A traced function as one compiled program: variables are read and written on the backend, inputs fed, outputs read. */
import { files } from "#host";
import { encodeModel, type LoweredProgram, lower } from "../compile/lower.js";
import { optimize } from "../compile/passes.js";
import {
  type DType,
  fail,
  input,
  type NDArray,
  newTrace,
  reachable,
  type Shape,
  structureRevision,
  Tensor,
  type Variable,
  withTrace,
} from "../tensor/index.js";
import type { Backend, BackendName, BackendOptions, Session } from "./backend.js";
import { getBackend } from "./backends.js";
import { type Arrays, type Feed, inTurn, keptOnDevice, runSession, toArrays } from "./execute.js";
import { type ExplainOptions, type Explanation, explain } from "./explain.js";
import { observedTensors } from "./observed.js";
import { encodeProgram } from "./saved.js";

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
  readonly commit?: (results: Arrays) => boolean;
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
  readonly outputs: readonly string[];
  readonly updates: ReadonlyMap<Variable, string>;
  readonly observed: ReadonlyMap<string, string>;
  /** The same for any engine: without what is this machine's alone. */
  portable(): LoweredProgram;
}

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
  let last: Arrays | undefined;

  const prepare = async (feeds: Arrays): Promise<Executable> => {
    const key = signature(feeds);
    const known = cache.get(key) ?? build(fn, feeds, options);
    cache.delete(key);
    cache.set(key, known);
    last = feeds;
    known.catch(() => cache.delete(key));
    for (const [oldest, executable] of cache) {
      if (cache.size <= cacheSize) break;
      cache.delete(oldest);
      executable.then(({ session }) => session.release()).catch(() => {});
    }
    return known;
  };
  /** The variant for these feeds, or for the last ones, with them. */
  const prepared = async (given?: { readonly [K in keyof I]: Feed }) => {
    const feeds = given ? toArrays(given) : last;
    if (!feeds) return fail("argument", "program: run it once, or give inputs, so that their shapes are known");
    return { executable: await prepare(feeds), feeds };
  };

  const program = (feeds: { readonly [K in keyof I]: Feed }): Promise<Results<O>> =>
    inTurn(async () => {
      const arrays = toArrays(feeds);
      const results = await runSession(await prepare(arrays), arrays, { seed, step: program.step }, commit);
      program.step++;
      return results as Results<O>;
    });
  program.step = 0;
  program.prepare = async (given?: { readonly [K in keyof I]: Feed }) => (await prepared(given)).executable;
  program.explain = (given?: { readonly [K in keyof I]: Feed }, explainOptions: ExplainOptions = {}) =>
    inTurn(async () => {
      const { executable, feeds } = await prepared(given);
      return explain(executable, feeds, explainOptions);
    });
  program.encode = (given?: { readonly [K in keyof I]: Feed }) =>
    inTurn(async () => {
      const { executable, feeds } = await prepared(given);
      return encodeProgram({ ...executable, ...executable.portable() }, feeds, { seed, step: program.step });
    });
  program.save = async (path: string, given?: { readonly [K in keyof I]: Feed }) =>
    files ? files.write(path, await program.encode(given)) : fail("file", "save: this host has no files; use encode");
  program.release = async (): Promise<void> => {
    await inTurn(async () => {});
    const all = [...cache.values()];
    cache.clear();
    await Promise.all(all.map(async (executable) => (await executable).session.release()));
  };
  Object.defineProperty(program, "cached", { get: () => cache.size });
  return program as Program<I, O>;
}

const signature = (feeds: Arrays): string =>
  `${structureRevision()};${Object.entries(feeds)
    .map(([name, { dtype, shape }]) => `${name}:${dtype}${shape.join("x")}`)
    .join(";")}`;

interface Traced {
  readonly outputs: ReadonlyMap<string, Tensor>;
  readonly updates: ReadonlyMap<Variable, string>;
  readonly observed: ReadonlyMap<string, string>;
  readonly results: readonly string[];
}

/** Run `fn` on input tensors of these shapes, and gather all that the program must compute, by name. */
export function traceProgram(
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
  feeds: Arrays,
  { backend: name, passes = true, name: title = "program", ...options }: CompileOptions,
): Promise<Executable> {
  const { outputs, updates, observed, results } = traceProgram(fn, feeds, passes);
  const backend = await getBackend(name, options);
  const portable = () => lower(outputs, title, backend.name);
  const convolves = reachable(outputs.values()).some(({ operation }) => operation.name === "convolution");
  const block = convolves ? await backend.channelBlock?.() : undefined;
  const lowered = lower(outputs, title, backend.name, { here: true, channelBlock: block });
  const session = await backend.createSession(encodeModel(lowered.model), {
    onDevice: keptOnDevice(updates, backend),
    simplified: passes,
  });
  return { ...lowered, backend, session, outputs: results, updates, observed, portable };
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

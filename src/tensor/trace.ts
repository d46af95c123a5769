/**
 * What is known while a function is traced: the module path, assignments to variables, taps, and the sites of random
 * numbers. One stack; `Module.apply` and `compile` push to it and nobody else.
 */
import { fail } from "./errors.js";
import type { Tensor } from "./tensor.js";
import type { Variable } from "./variable.js";

export interface Trace {
  readonly assignments: Map<Variable, Tensor>;
  /** Tensors that can be observed, by name: `path:in`, `path:out` of modules, `path` of variables, `…:grad`. */
  readonly points: Map<string, Tensor>;
  /** Who wants to see which of them. */
  readonly observers: Set<Observer>;
  /** How many random tensors were made so far at each path: a site is path + count. */
  readonly sites: Map<string, number>;
  training: boolean;
}

export interface Observer {
  readonly query: string;
  readonly matches: (name: string) => boolean;
  readonly statistic: (tensor: Tensor, name: string) => Tensor;
}

let trace: Trace | undefined;
let path: string[] = [];
/** What a repeated forward pass assigns, to be read by itself alone; nothing while nothing is repeated. */
let repeated: Map<Variable, Tensor> | undefined;

export const newTrace = (): Trace => ({
  assignments: new Map(),
  points: new Map(),
  observers: new Set(),
  sites: new Map(),
  training: false,
});
export const currentTrace = (): Trace | undefined => trace;
export const currentPath = (): string => path.join(".");

/** Run `body` with `next` as the current trace and an empty module path. */
export function withTrace<T>(next: Trace, body: () => T): T {
  const [outerTrace, outerPath] = [trace, path];
  [trace, path] = [next, []];
  try {
    return body();
  } finally {
    [trace, path] = [outerTrace, outerPath];
  }
}

/** Run `body` below the module `name`; an absolute name (from a root call) replaces the path. */
export function withPath<T>(absolute: string, body: () => T): T {
  const outer = path;
  path = absolute === "" ? [] : [absolute];
  try {
    return body();
  } finally {
    path = outer;
  }
}

export function recordAssignment(variable: Variable, next: Tensor): void {
  if (!trace)
    fail(
      "trace",
      `assign: variable "${variable.name}" was assigned outside a compiled function; use variable.set(value) there`,
    );
  if (repeated)
    repeated.set(variable, next); // the first pass has recorded it already
  else if (trace.assignments.has(variable))
    fail(
      "variable",
      `assign: variable "${variable.name}" is assigned twice in one program; combine the two updates into one`,
    );
  else trace.assignments.set(variable, next);
}

/** The value that a variable has after what this program has assigned so far. */
export const latest = (variable: Variable): Tensor => (repeated ?? trace?.assignments)?.get(variable) ?? variable;

/** Assign again and again: each next value is made from the latest one. Nothing happens outside a program. */
export function advance(variable: Variable, change: (now: Tensor) => Tensor): void {
  const assignments = repeated ?? trace?.assignments;
  if (!assignments) return;
  const next = change(latest(variable));
  assignments.delete(variable);
  recordAssignment(variable, next);
}

/** Make a tensor observable under a name; the second of a name gets "#1", and so on. */
export function recordPoint(name: string, tensor: Tensor): void {
  if (!trace || repeated) return;
  let unique = name;
  for (let i = 1; trace.points.has(unique); i++) unique = `${name}#${i}`;
  trace.points.set(unique, tensor);
}

/** The next random site below the current path. */
export function nextSite(): string {
  const here = currentPath();
  const sites = (trace ?? globalSites).sites;
  const count = sites.get(here) ?? 0;
  sites.set(here, count + 1);
  return `${here}#${count}`;
}

const globalSites: Pick<Trace, "sites"> = { sites: new Map() };

/** What a forward pass starts from, besides its inputs. */
export interface Beginning {
  readonly sites: ReadonlyMap<string, number>;
  readonly assignments: ReadonlyMap<Variable, Tensor>;
}

export const beginning = (): Beginning => ({
  sites: new Map((trace ?? globalSites).sites),
  assignments: new Map(trace?.assignments),
});

/** Repeat a forward pass for the backward pass: same random sites, same state, no second assignment. */
export function repeating<T>({ sites, assignments }: Beginning, body: () => T): T {
  const active = (trace ?? globalSites).sites;
  const after = new Map(active);
  active.clear();
  for (const [key, count] of sites) active.set(key, count);
  const outer = repeated;
  repeated = new Map(assignments);
  try {
    return body();
  } finally {
    repeated = outer;
    active.clear();
    for (const [key, count] of after) active.set(key, count);
  }
}

let revision = 0;
/** Grows when something that traced programs depend on changes: taps, frozen parameters. */
export const structureRevision = (): number => revision;
export const structureChanged = (): void => {
  revision++;
};

/** True inside `training(...)`: dropout and batch statistics look at it. */
export const isTraining = (): boolean => trace?.training ?? trainingOutside;
let trainingOutside = false;

/** Run `body` in training mode (dropout on, statistics updated). */
export const training = <T>(body: () => T): T => withMode(true, body);
/** Run `body` in inference mode, which is the default. */
export const inference = <T>(body: () => T): T => withMode(false, body);

function withMode<T>(mode: boolean, body: () => T): T {
  const outer = isTraining();
  const set = (value: boolean) => {
    if (trace) trace.training = value;
    else trainingOutside = value;
  };
  set(mode);
  try {
    return body();
  } finally {
    set(outer);
  }
}

/**
 * A module is a value that has parameters: a class with typed fields and one method, `forward`. Its fields are its
 * structure: modules, variables, and arrays and plain objects of them are found in order of declaration and named by
 * dotted path, e.g. `model.layers.3.mlp.up_proj.weight`.
 */
import {
  after,
  beginning,
  currentPath,
  currentTrace,
  customGradient,
  type ErrorCode,
  fail,
  formatShape,
  inference,
  isTraining,
  LayerwiseError,
  type NDArray,
  recordPoint,
  repeating,
  sameShape,
  structureChanged,
  Tensor,
  training,
  Variable,
  vectorJacobian,
  withPath,
} from "../tensor/index.js";
import { observersOf, pattern } from "./observe.js";
import { sideInputs, withInputs } from "./side-inputs.js";

export abstract class Module<Inputs extends readonly unknown[] = [Tensor], Output = Tensor> {
  /** The computation, written by subclasses. Call `apply`, not this: `apply` knows where in the model it is. */
  abstract forward(...inputs: Inputs): Output;

  /** Run the module on tensors: builds the graph below this module's path, for names, errors and taps. */
  apply(...inputs: Inputs): Output {
    return this.inside(() => {
      const path = currentPath();
      if (inputs[0] instanceof Tensor) recordPoint(`${path}:in`, inputs[0]);
      const output = recomputed.has(this) ? (forgetful(this as never, inputs) as Output) : this.forward(...inputs);
      if (output instanceof Tensor) recordPoint(`${path}:out`, output);
      return output;
    });
  }

  /** Run `body` as a part of this module: what it applies has its full path, for names, errors and observers. */
  protected inside<T>(body: () => T): T {
    const here = scope.has(this) ? scope : scopeFrom(this);
    const path = here.get(this) as string;
    return within(here, () => withPath(path, () => located(path, body)));
  }

  /** All variables by dotted path: parameters, frozen ones, running statistics. A shared one has its first path. */
  namedVariables(): Map<string, Variable> {
    const found = new Map<string, Variable>();
    const seen = new Set<Variable>();
    for (const { path, value } of walk(this))
      if (value instanceof Variable && !seen.has(value)) {
        seen.add(value);
        found.set(path, value);
      }
    for (const [path, variable] of found) variable.name = path;
    return found;
  }

  /** The trainable variables, each once, in order of declaration. */
  parameters(): Variable[] {
    return [...this.namedVariables().values()].filter((variable) => variable.trainable);
  }

  /** All modules by dotted path; the module itself is "". */
  namedModules(): Map<string, AnyModule> {
    const found = new Map<string, AnyModule>();
    for (const { path, value } of walk(this)) if (value instanceof Module) found.set(path, value);
    return found;
  }

  /** Every variable's value on the host, by path. */
  async stateDict(): Promise<Map<string, NDArray>> {
    const entries = [...this.namedVariables()].map(async ([path, variable]) => [path, await variable.data()] as const);
    return new Map(await Promise.all(entries));
  }

  /**
   * Load values by path. Throws, naming them, when some are missing, left over (unless `strict` is false) or of another
   * shape; nothing is changed then. float16 and float64 values are converted.
   */
  loadStateDict(values: ReadonlyMap<string, NDArray>, { strict = true }: { readonly strict?: boolean } = {}): void {
    const variables = this.namedVariables();
    const missing = [...variables.keys()].filter((path) => !values.has(path));
    const extra = [...values.keys()].filter((path) => !variables.has(path));
    if (strict && missing.length + extra.length > 0)
      fail(
        "file",
        `loadStateDict: ${describe("missing", missing)}${missing.length && extra.length ? "; " : ""}${describe("unexpected", extra)}`,
      );
    const pairs = [...variables].flatMap(([path, variable]) => {
      const value = values.get(path);
      if (!value) return [];
      if (!sameShape(value.shape, variable.shape))
        fail(
          "file",
          `loadStateDict: "${path}" has shape ${formatShape(variable.shape)}, the value ${formatShape(value.shape)}`,
        );
      return [[variable, value] as const];
    });
    for (const [variable, value] of pairs) variable.set(value);
  }
}

const misfits: ReadonlySet<ErrorCode> = new Set(["shape", "dtype", "argument"]);

/** What does not fit is said with the path of the innermost module, also where no operation came to be. */
function located<T>(path: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    if (!(error instanceof LayerwiseError) || !misfits.has(error.code)) throw error;
    if (path === "" || error.message.includes(`at ${path}`)) throw error;
    throw new LayerwiseError(error.code, `at ${path}: ${error.message}`, { cause: error });
  }
}

/** What a training is going to do, for modules that follow a schedule. */
export interface TrainingPlan {
  readonly steps: number;
  /** Forward passes in one step. */
  readonly accumulation: number;
}

/** A module that adapts to the length of the training. */
export interface Planned {
  /** Called by a training before its first step is traced. */
  plan(plan: TrainingPlan): void;
}

/** Tell every module that wants to know. */
export function planTraining(model: AnyModule, plan: TrainingPlan): void {
  for (const [, module] of model.namedModules()) if ("plan" in module) (module as unknown as Planned).plan(plan);
}

/** Any module, whatever it takes and gives: for code that only walks the tree. */
export type AnyModule = Module<never, unknown>;

const describe = (what: string, names: readonly string[]): string =>
  names.length === 0
    ? ""
    : `${what} ${names.slice(0, 5).join(", ")}${names.length > 5 ? ` and ${names.length - 5} more` : ""}`;

interface Place {
  readonly path: string;
  readonly value: AnyModule | Variable;
}

const isPlain = (value: object): boolean => Object.getPrototypeOf(value) === Object.prototype;
const join = (path: string, key: string): string => (path ? `${path}.${key}` : key);

/** Modules and variables below a root, parents first. A module met twice is visited once. */
function* walk(root: AnyModule): Generator<Place> {
  const seen = new Set<object>();
  function* visit(value: unknown, path: string): Generator<Place> {
    if (value instanceof Variable) {
      yield { path, value };
      return;
    }
    if (typeof value !== "object" || value === null || value instanceof Tensor || seen.has(value)) return;
    const isModule = value instanceof Module;
    if (!isModule && !Array.isArray(value) && !isPlain(value)) return;
    seen.add(value);
    if (isModule) yield { path, value: value as AnyModule };
    for (const [key, field] of Object.entries(value)) yield* visit(field, join(path, key));
  }
  yield* visit(root, "");
}

/** The paths of a model's modules, while its `apply` runs. */
type Scope = ReadonlyMap<object, string>;
let scope: Scope = new Map();

/** A module outside the running model starts a scope of its own, below the current path. */
function scopeFrom(root: AnyModule): Scope {
  const base = currentPath();
  const paths = new Map<object, string>();
  for (const { path, value } of walk(root)) {
    if (value instanceof Variable) {
      value.name ||= join(base, path);
      recordPoint(value.name, value);
    } else paths.set(value, join(base, path));
  }
  for (const observer of observersOf(root)) currentTrace()?.observers.add(observer);
  return paths;
}

function within<T>(next: Scope, body: () => T): T {
  const outer = scope;
  scope = next;
  try {
    return body();
  } finally {
    scope = outer;
  }
}

/**
 * Replace modules by `change(module, path)`, deepest last; undefined keeps one. The root itself may be replaced: use
 * the returned model. Freezing, wrapping, dropping, quantising are all uses of this.
 */
export function rewrite<M extends AnyModule>(
  model: M,
  change: (module: AnyModule, path: string) => AnyModule | undefined,
): M {
  const seen = new Set<object>();
  const visit = (holder: Record<string, unknown>, path: string): void => {
    if (seen.has(holder)) return;
    seen.add(holder);
    for (const [key, field] of Object.entries(holder)) {
      if (typeof field !== "object" || field === null || field instanceof Tensor) continue;
      const here = join(path, key);
      const next = field instanceof Module ? (change(field as AnyModule, here) ?? field) : field;
      if (next !== field) holder[key] = next;
      // A replacement is not looked into: wrapping a module would otherwise wrap it forever.
      else if (next instanceof Module || Array.isArray(next) || isPlain(next))
        visit(next as unknown as Record<string, unknown>, here);
    }
  };
  const root = change(model, "") ?? model;
  if (root === model) visit(model as unknown as Record<string, unknown>, "");
  structureChanged();
  return root as M;
}

/**
 * Stop training the variables whose path matches (default: all): no gradient, no moments, no decay. A query as in
 * `observe`: `model.layers.*`, `**.bias`. Throws when nothing matches.
 */
export function freeze(model: AnyModule, query = "**"): void {
  setTrainable(model, query, false);
}

export function unfreeze(model: AnyModule, query = "**"): void {
  setTrainable(model, query, true);
}

function setTrainable(model: AnyModule, query: string, trainable: boolean): void {
  const matches = pattern(query);
  const chosen = [...model.namedVariables()].filter(([path]) => matches(path) || parents(path).some(matches));
  if (chosen.length === 0)
    fail(
      "argument",
      `freeze: no variable matches "${query}"; paths look like "${[...model.namedVariables().keys()][0]}"`,
    );
  for (const [, variable] of chosen) variable.trainable = trainable;
  structureChanged();
}

const parents = (path: string): string[] =>
  path
    .split(".")
    .map((_, i, parts) => parts.slice(0, i).join("."))
    .slice(1);

/**
 * Forget the activations inside `module` and compute them again for the backward pass: less memory for more time, the
 * same numbers (Training Deep Nets with Sublinear Memory Cost, 2016). Marks the module and gives it back; its names and
 * the rest of the model stay as they are: `model.model.layers.forEach(recompute)`.
 */
export function recompute<M extends AnyModule>(module: M): M {
  recomputed.add(module);
  structureChanged();
  return module;
}

const recomputed = new WeakSet<object>();

/** The output, with a gradient that starts from the input again, and not before it is asked for. */
function forgetful(module: Module<readonly unknown[], unknown>, inputs: readonly unknown[]): Tensor {
  const [x, ...rest] = inputs;
  if (!(x instanceof Tensor)) return fail("argument", "recompute: the first input of the module must be a tensor");
  const parameters = module.parameters();
  const start = beginning();
  const given = sideInputs();
  const mode = isTraining() ? training : inference;
  const [path, here] = [currentPath(), scope];
  const forward = (again: Tensor): Tensor => {
    const output = module.forward(again, ...rest);
    return output instanceof Tensor ? output : fail("argument", "recompute: the module must return one tensor");
  };
  return customGradient([x, ...parameters], forward, (gradient) => {
    const again = after(x, gradient);
    const output = repeating(start, () =>
      withInputs(given, () => mode(() => within(here, () => withPath(path, () => forward(again))))),
    );
    return vectorJacobian([output], [gradient], [again, ...parameters]);
  });
}

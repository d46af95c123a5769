/**
 * Weights by name, for any model: tensors of a file are the model's paths (as torchvision's and timm's convolutional
 * networks have them), or those of a public layout that the model knows (`layouts`). Which one a file has, its names say.
 */
import type { AnyModule } from "../../nn/index.js";
import { pattern } from "../../nn/observe.js";
import { fail, formatShape, type NDArray, sameShape, type Variable } from "../../tensor/index.js";
import type { JsonObject } from "./hf-config.js";
import { type Found, type Layout, ruleMatcher, same, splitTensor, toTheirs } from "./layout.js";

/** What a set of weights is read from: names with shapes, and one tensor at a time. */
export interface WeightSource {
  readonly tensors: ReadonlyMap<string, { readonly shape: readonly number[] }>;
  read(name: string): Promise<NDArray>;
}

/** A model whose public files name or lay out weights otherwise than its own paths do. */
export interface PubliclyNamed {
  layouts(): readonly Layout[];
}

/** A model that a `config.json` describes. Throws a "file" error for options that no such file can hold. */
export interface Described extends PubliclyNamed {
  describe(): JsonObject;
}

export interface LoadOptions {
  /** The file's name, for messages. */
  readonly where?: string;
  /** Paths of the model that keep their values, and names of the file that are left out: `"head*"`, `["cls.**"]`. */
  readonly skip?: string | readonly string[];
}

const own: Layout = { name: "layerwise", rules: [same("{n}")], ignored: /\.num_batches_tracked$/ };

const layoutsOf = (model: AnyModule): readonly Layout[] => [
  own,
  ...("layouts" in model ? (model as unknown as PubliclyNamed).layouts() : []),
];

interface Plan {
  readonly steps: readonly { readonly name: string; readonly found: Found }[];
  readonly unexpected: readonly string[];
}

/**
 * Fill a model, tensor by tensor, from the layout that fits most names. Throws a "file" error that names tensors which are
 * missing, unexpected or of another shape; names are checked before anything is read or changed.
 */
export async function loadNamed(model: AnyModule, source: WeightSource, options: LoadOptions = {}): Promise<void> {
  const { where = "checkpoint", skip = [] } = options;
  const skips = [skip].flat().map(pattern);
  const isSkipped = (name: string) => skips.some((matches) => matches(name));
  const variables = new Map([...model.namedVariables()].filter(([path]) => !isSkipped(path)));
  const names = [...source.tensors.keys()].filter((name) => !isSkipped(name));
  const layouts = layoutsOf(model);
  const plans = layouts.map((layout) => planOf(layout, names, variables, isSkipped));
  const plan = plans.reduce((best, other) => (fit(other) > fit(best) ? other : best));
  const given = new Set(plan.steps.flatMap(({ found }) => found.ours));
  const missing = [...variables.keys()].filter((path) => !given.has(path));
  const problems = [
    ...(missing.length > 0 ? [`misses ${listed(missing)}`] : []),
    ...(plan.unexpected.length > 0 ? [`has ${listed(plan.unexpected)}, for which the model has no place`] : []),
  ];
  if (problems.length > 0)
    fail(
      "file",
      `${where}: ${problems.join("; ")} (names read as those of ${layouts[plans.indexOf(plan)]?.name}). Build the model with the file's sizes and parts, or skip them`,
    );
  await readInto(variables, plan.steps, source, where);
}

/** Names that have a place; of two alike the one with fewer that have none. */
const fit = ({ steps, unexpected }: Plan): number => steps.length - unexpected.length / (unexpected.length + 1);

function planOf(
  layout: Layout,
  names: readonly string[],
  variables: ReadonlyMap<string, Variable>,
  isSkipped: (name: string) => boolean,
): Plan {
  const match = ruleMatcher(layout);
  const steps: { name: string; found: Found }[] = [];
  const unexpected: string[] = [];
  for (const name of names) {
    const found = match(name);
    if (found === "ignored") continue;
    if (found !== "unknown" && found.ours.every((path) => variables.has(path))) steps.push({ name, found });
    else if (found === "unknown" || !found.ours.every(isSkipped)) unexpected.push(name);
  }
  return { steps, unexpected };
}

/** Read tensors one after another into the variables that they belong to. Throws for one of another shape. */
export async function readInto(
  variables: ReadonlyMap<string, Variable>,
  steps: Plan["steps"],
  source: WeightSource,
  where: string,
  asking = "the model",
): Promise<void> {
  for (const { name, found } of steps)
    for (const [path, value] of splitTensor(found, await source.read(name))) {
      const variable = variables.get(path) as Variable;
      if (!sameShape(variable.shape, value.shape))
        fail(
          "file",
          `${where}: "${name}" gives ${path} the shape ${formatShape(value.shape)}; ${asking} asks for ${formatShape(variable.shape)}`,
        );
      variable.set(value);
    }
}

/**
 * A model's weights by the names of a layout (default: its own paths), each read when it is asked for. Throws for a layout
 * the model does not know, and where that has no place for one of its variables.
 */
export function namedWeights(model: AnyModule, layout = own.name): Map<string, () => Promise<NDArray>> {
  const layouts = layoutsOf(model);
  const found = layouts.find(({ name }) => name === layout);
  if (!found)
    return fail(
      "argument",
      `weights: the model has no layout "${layout}"; it has ${layouts.map(({ name }) => name).join(", ")}`,
    );
  const variables = model.namedVariables();
  return new Map(
    toTheirs(found, new Set(variables.keys())).map(({ theirs, ours, join }) => [
      theirs,
      async () => join(await Promise.all(ours.map((path) => (variables.get(path) as Variable).data()))),
    ]),
  );
}

export const listed = (names: readonly string[]): string =>
  `${names.slice(0, 5).join(", ")}${names.length > 5 ? ` and ${names.length - 5} more` : ""}`;

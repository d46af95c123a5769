/**
 * Training with only the gains and biases of norms: every other weight stays at its random (or pretrained) value, and costs
 * neither gradient nor moments nor decay. As a control, as many weights chosen at random: k of every filter.
 *
 *   "bn" γ, β of all norms      "bn+output" and the last linear layer      "bn+output+shortcut" and the 1 × 1 shortcuts
 *   "output" only that layer    "gamma" | "beta" one half of "bn"          "frozen-bn" all but γ, β      "all"
 *   { random: k } k weights of every filter, at places drawn from a seed; γ, β and the output frozen
 *
 * Norms of any kind count, those of transformers too (an extension of the paper). Running statistics move in every mode.
 *
 * Source: "Training BatchNorm and Only BatchNorm: On the Expressive Power of Random Features in CNNs", 2020.
 */
import { fail, NDArray, philoxUniform, structureChanged, type Tensor, Variable } from "../../tensor/index.js";
import { kaiming } from "../initialization.js";
import { Linear } from "../linear.js";
import { type AnyModule, Module } from "../module.js";
import { parametrize, Weighted } from "../parametrization.js";
import { Norm } from "./norm.js";

export type TrainedPart =
  | "bn"
  | "bn+output"
  | "bn+output+shortcut"
  | "output"
  | "gamma"
  | "beta"
  | "frozen-bn"
  | "all"
  | { readonly random: number; readonly seed?: number }
  | ((path: string) => boolean);

export interface TrainedCount {
  readonly trained: number;
  readonly frozen: number;
}

/**
 * Freeze all but one part of a model, and count. Changes the model. Throws where nothing would be trained, and for a random
 * choice of more weights than a filter has.
 */
export function trainOnly(model: AnyModule, part: TrainedPart): TrainedCount {
  if (typeof part === "object") chooseWeights(model, part.random, part.seed ?? 0);
  const parameters = [...model.namedVariables()].filter(([path]) => !/running_|num_batches|\.rate$/.test(path));
  const wanted = chooser(model, part);
  for (const [path, variable] of parameters) variable.trainable = wanted(path);
  structureChanged();
  const trained = parameters.filter(([, { trainable }]) => trainable).reduce((sum, [, { size }]) => sum + size, 0);
  if (trained === 0)
    fail(
      "argument",
      `trainOnly: nothing is left to train; has the model ${typeof part === "string" ? `what "${part}" names` : "these paths"}?`,
    );
  const all = parameters
    .filter(([path]) => !path.includes(".parametrizations."))
    .reduce((sum, [, { size }]) => sum + size, 0);
  return { trained, frozen: all - trained };
}

function chooser(model: AnyModule, part: TrainedPart): (path: string) => boolean {
  if (typeof part === "function") return part;
  if (typeof part === "object") return (path) => /(^|\.)parametrizations\.\d+\.values$/.test(path);
  const norms = new Set(normsOf(model).map(([path]) => path));
  const isGain = (path: string) => path.endsWith("weight") && norms.has(parent(path));
  const isBias = (path: string) => path.endsWith("bias") && norms.has(parent(path));
  const output = lastLinear(model);
  const isOutput = (path: string) => output !== undefined && parent(path) === output;
  const isShortcut = (path: string) => /(^|\.)(downsample|shortcut)\.0\.weight$/.test(path);
  const isNorm = (path: string) => isGain(path) || isBias(path);
  return {
    bn: isNorm,
    "bn+output": (path: string) => isNorm(path) || isOutput(path),
    "bn+output+shortcut": (path: string) => isNorm(path) || isOutput(path) || isShortcut(path),
    output: isOutput,
    gamma: isGain,
    beta: isBias,
    "frozen-bn": (path: string) => !isNorm(path),
    all: () => true,
  }[part];
}

const parent = (path: string): string => path.split(".").slice(0, -1).join(".");

const normsOf = (model: AnyModule): [string, Norm][] =>
  [...model.namedModules()].flatMap(([path, module]) =>
    (module as unknown) instanceof Norm ? [[path, module as unknown as Norm]] : [],
  );

/** The path of the last linear layer. */
export const lastLinear = (model: AnyModule): string | undefined =>
  [...model.namedModules()].filter(([, module]) => (module as unknown) instanceof Linear).at(-1)?.[0];

/** W with some entries of each filter trained and the others as they are: W′ = W except at `places`, where `values` stand. */
export class ChosenWeights extends Module {
  readonly values: Variable; // [out, k]
  readonly places: Variable; // int32 [out, k]

  constructor(values: NDArray, places: NDArray) {
    super();
    this.values = new Variable(values);
    this.places = new Variable(places, { trainable: false });
  }

  override forward(W: Tensor): Tensor {
    const rows = W.reshape([W.dim(0), W.size / W.dim(0)]);
    return rows.scatterAdd(this.places, this.values.sub(rows.takeAlongAxis(this.places, 1)), 1).reshape(W.shape);
  }
}

function chooseWeights(model: AnyModule, k: number, seed: number): void {
  if (!Number.isInteger(k) || k < 1)
    fail("argument", `trainOnly: expected a positive whole number of weights a filter, got ${k}`);
  const output = lastLinear(model);
  parametrize(model, "**", (layer, path) => {
    if (path === output || layer.outputAxis !== 0) return undefined;
    const [out, fanIn] = [layer.weight.dim(0), layer.weight.size / layer.weight.dim(0)];
    if (k > fanIn)
      fail("argument", `trainOnly: a filter of ${path} has ${fanIn} weights, ${k} cannot be chosen from them`);
    return placesOf(layer, k, { seed, site: `${path}.places` }, out, fanIn);
  });
}

/** k distinct places of every filter, those of the k smallest of as many random numbers. */
function placesOf(
  layer: Weighted,
  k: number,
  stream: { readonly seed: number; readonly site: string },
  out: number,
  fanIn: number,
): ChosenWeights {
  const draws = philoxUniform(stream, out * fanIn);
  const places = Array.from({ length: out }, (_, o) =>
    Array.from({ length: fanIn }, (_, i) => i)
      .sort((a, b) => (draws[o * fanIn + a] as number) - (draws[o * fanIn + b] as number))
      .slice(0, k)
      .sort((a, b) => a - b),
  );
  return chosenAt(layer, places);
}

/** For places that are known: from a mask, from a file. */
export function chosenAt({ weight }: Weighted, places: readonly (readonly number[])[]): ChosenWeights {
  const current = weight.current;
  if (!(current instanceof NDArray)) return fail("argument", "trainOnly: choose weights before the model is trained");
  const fanIn = weight.size / weight.dim(0);
  const k = places[0]?.length ?? 0;
  const values = places.flatMap((own, o) => own.map((i) => Number(current.at(o * fanIn + i))));
  return new ChosenWeights(
    NDArray.from(values, "float32", [places.length, k]),
    NDArray.from(places.flat(), "int32", [places.length, k]),
  );
}

export interface RandomFeatureOptions {
  /** First gains: "uniform" in [0, 1) (default, the paper's), 1 ("fixed"), or uniform in [−1, 1) ("positivenegative"). */
  readonly gamma?: "uniform" | "fixed" | "positivenegative";
  readonly seed?: number;
}

/** The paper's first values: weights N(0, 2 / fan-in), gains uniform, biases of norms 0 and of layers U(±1/√fan-in). From the seed and the paths alone. */
export function initializeRandomFeatures(
  model: AnyModule,
  { gamma = "uniform", seed = 0 }: RandomFeatureOptions = {},
): void {
  kaiming(model, { mode: "fanIn", seed });
  for (const [path, module] of model.namedModules()) {
    const layer: unknown = module;
    const bias: unknown = layer instanceof Weighted ? Reflect.get(layer, "bias") : undefined;
    if (!(layer instanceof Weighted && bias instanceof Variable)) continue;
    const bound = 1 / Math.sqrt(layer.weight.size / layer.weight.dim(layer.outputAxis));
    const u = philoxUniform({ seed, site: `${path}.bias` }, bias.size);
    bias.set(
      new NDArray(
        u.map((x) => (2 * x - 1) * bound),
        bias.shape,
        "float32",
      ),
    );
  }
  for (const [path, norm] of normsOf(model)) {
    const [gain, bias] = [Reflect.get(norm, "weight"), Reflect.get(norm, "bias")] as unknown[];
    if (gain instanceof Variable) {
      const u = philoxUniform({ seed, site: `${path}.weight` }, gain.size);
      const values = u.map((x) => ({ uniform: x, fixed: 1, positivenegative: 2 * x - 1 })[gamma]);
      gain.set(new NDArray(values, gain.shape, "float32"));
    }
    if (bias instanceof Variable) bias.set(NDArray.zeros(bias.shape));
  }
}

export interface FeatureReport {
  /** Gains below the threshold, of all. */
  readonly disabled: number;
  readonly total: number;
  readonly layers: readonly { readonly path: string; readonly disabled: number; readonly total: number }[];
}

/** How many features the norms have switched off: |γ| < threshold (the paper's is 0.01). */
export async function featureReport(model: AnyModule, { threshold = 0.01 } = {}): Promise<FeatureReport> {
  const layers: { path: string; disabled: number; total: number }[] = [];
  for (const [path, gains] of await gainsOf(model)) {
    const values = (await gains.data()).toNumbers();
    layers.push({ path, disabled: values.filter((g) => Math.abs(g) < threshold).length, total: values.length });
  }
  const sum = (key: "disabled" | "total") => layers.reduce((all, layer) => all + layer[key], 0);
  return { disabled: sum("disabled"), total: sum("total"), layers };
}

/** Set the gains below the threshold to 0: what the paper says changes almost nothing. Gives how many there were. */
export async function pruneDisabled(model: AnyModule, { threshold = 0.01 } = {}): Promise<number> {
  let pruned = 0;
  for (const [, gains] of await gainsOf(model)) {
    const values = (await gains.data()).toNumbers();
    const kept = values.map((g) => (Math.abs(g) < threshold ? 0 : g));
    pruned += kept.filter((g, i) => g === 0 && values[i] !== 0).length;
    gains.set(NDArray.from(kept, "float32", gains.shape));
  }
  return pruned;
}

const gainsOf = async (model: AnyModule): Promise<[string, Variable][]> => {
  const found = normsOf(model).flatMap(([path, norm]): [string, Variable][] => {
    const gain: unknown = Reflect.get(norm, "weight");
    return gain instanceof Variable ? [[path, gain]] : [];
  });
  return found.length > 0 ? found : fail("argument", "featureReport: the model has no norm with a gain");
};

/** What a training changed: trained parameters and running statistics, by path. */
export async function delta(model: AnyModule): Promise<Map<string, NDArray>> {
  const chosen = [...model.namedVariables()].filter(([path, { trainable }]) => trainable || path.includes("running_"));
  return new Map(await Promise.all(chosen.map(async ([path, variable]) => [path, await variable.data()] as const)));
}

/** Put a delta on the model that it was trained on: the same architecture, frozen parts and seed. Throws where it does not fit. */
export function applyDelta(model: AnyModule, values: ReadonlyMap<string, NDArray>): void {
  const expected = [...model.namedVariables()].filter(
    ([path, { trainable }]) => trainable || path.includes("running_"),
  );
  const missing = expected.find(([path]) => !values.has(path));
  if (missing) fail("file", `applyDelta: misses "${missing[0]}"; was it trained with other parts frozen?`);
  model.loadStateDict(values, { strict: false });
  const known = new Set(model.namedVariables().keys());
  const extra = [...values.keys()].find((path) => !known.has(path));
  if (extra !== undefined) fail("file", `applyDelta: the model has no "${extra}"; it is another architecture's`);
}

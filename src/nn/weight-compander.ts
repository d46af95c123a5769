/**
 * Weight compander: a weight is an odd, saturating function of the number that is trained, steep at zero:
 *
 *   w = Ψ(v) = a atan(v / b),   |w| < a π / 2,   dΨ/dv = a b / (b² + v²)        v = b tan(w / a)
 *
 * Large weights are held back (compress), small ones pushed outward (expand). One pair a, b for a layer or for each output
 * channel, fixed or learned; after training `bake` leaves w, an ordinary layer.
 *
 *   const layers = await compand(model);   optimizer = sgd(model.parameters(), { …, groups: companderGroups(0.05) })
 *
 * Source: "Weight Compander: A Simple Weight Reparameterization for Regularization", 2023. No code is public; the
 * arctangent is the paper's as remembered, the first values of a and b (σ of the layer's weights) and the hundredth of the
 * learning rate for them are ours. So the function is a value (`CompanderFunction`).
 */
import { compile } from "../runtime/index.js";
import { fail, NDArray, type Tensor, Variable } from "../tensor/index.js";
import { type AnyModule, Module } from "./module.js";
import { type Parametrization, parametrize, Weighted } from "./parametrization.js";
import { warn } from "./warn.js";

/** Odd and increasing in its first argument; `inverse` on the host, `bound(a)` its least upper bound. */
export interface CompanderFunction {
  readonly name: string;
  readonly forward: (v: Tensor, a: Tensor, b: Tensor) => Tensor;
  readonly inverse: (w: number, a: number, b: number) => number;
  readonly bound: (a: number) => number;
}

export const companders = {
  atan: {
    name: "atan",
    forward: (v, a, b) => a.mul(v.div(b).atan()),
    inverse: (w, a, b) => b * Math.tan(w / a),
    bound: (a) => (a * Math.PI) / 2,
  },
  tanh: {
    name: "tanh",
    forward: (v, a, b) => a.mul(v.div(b).tanh()),
    inverse: (w, a, b) => b * Math.atanh(w / a),
    bound: (a) => a,
  },
  softsign: {
    name: "softsign",
    forward: (v, a, b) => a.mul(v).div(b.add(v.abs())),
    inverse: (w, a, b) => (w * b) / (a - Math.abs(w)),
    bound: (a) => a,
  },
} satisfies Record<string, CompanderFunction>;

export interface CompanderOptions {
  /** Default "atan". */
  readonly fn?: keyof typeof companders | CompanderFunction;
  /** First value of a (default: the standard deviation of the layer's weights). */
  readonly a?: number;
  /** First value of b (default: as a, so that the slope at zero is 1). */
  readonly b?: number;
  /** Train a and b (default true). */
  readonly learn?: boolean;
  /** One pair for the layer (default), or for each output channel. */
  readonly scope?: "layer" | "channel";
  /** Train log a and log b, which keeps them positive ("log", default), or themselves ("direct", as in the paper). */
  readonly abParam?: "log" | "direct";
}

export class WeightCompander extends Module {
  /** a and b, or their logarithms. */
  readonly a: Variable;
  readonly b: Variable;
  readonly fn: CompanderFunction;
  readonly abParam: "log" | "direct";

  /** a, b: [1, …] or [out, 1, …]. Throws where they are zero, not finite, or negative with abParam "log". */
  constructor(a: NDArray, b: NDArray, { fn = "atan", learn = true, abParam = "log" }: CompanderOptions = {}) {
    super();
    for (const [name, values] of Object.entries({ a, b }))
      for (const value of values.toNumbers())
        if (!Number.isFinite(value) || value === 0 || (abParam === "log" && value < 0))
          fail(
            "argument",
            `weight compander: expected ${name} to be ${abParam === "log" ? "positive" : "finite and not 0"}, got ${value}`,
          );
    const stored = (values: NDArray) =>
      NDArray.from(
        values.toNumbers().map((n) => (abParam === "log" ? Math.log(n) : n)),
        "float32",
        values.shape,
      );
    this.a = new Variable(stored(a), { trainable: learn });
    this.b = new Variable(stored(b), { trainable: learn });
    this.fn = typeof fn === "string" ? companders[fn] : fn;
    this.abParam = abParam;
  }

  override forward(v: Tensor): Tensor {
    const value = (variable: Variable): Tensor => (this.abParam === "log" ? variable.exp() : variable);
    return this.fn.forward(v, value(this.a), value(this.b));
  }
}

export interface CompandOptions extends CompanderOptions {
  /** Which layers (default: all with a weight). */
  readonly query?: string;
  /**
   * "direct" (default): the layer's numbers become v. "inverse": v = Ψ⁻¹(w), so that the function stays; weights beyond
   * 0.98 of the bound are cut there.
   */
  readonly init?: "direct" | "inverse";
  /** Share of weights that an inverse start may cut (default 0.01). */
  readonly maxCut?: number;
}

export interface Companded {
  readonly path: string;
  /** How many weights an inverse start cut. */
  readonly cut: number;
}

/**
 * Compand the weights of a model's layers; not biases, not norms. Changes the model. Throws for a layer that is companded
 * already, weights shared by two layers, a function that is not odd and increasing, and an inverse start that would cut too
 * many weights (naming the layer, and an a that would do).
 */
export async function compand(model: AnyModule, options: CompandOptions = {}): Promise<Companded[]> {
  const { query = "**", fn = "atan", scope = "layer", init = "direct", maxCut = 0.01 } = options;
  const given = typeof fn === "string" ? companders[fn] : fn;
  await checkFunction(given);
  const plans: { path: string; layer: Weighted; a: number[]; b: number[]; v: NDArray; cut: number }[] = [];
  const owners = new Map<Variable, string>();
  for (const [path, module] of model.namedModules()) {
    const layer: unknown = module;
    if (!(layer instanceof Weighted)) continue;
    const other = owners.get(layer.weight);
    owners.set(layer.weight, path);
    if (other !== undefined)
      fail(
        "argument",
        `compand: ${other} and ${path} share their weight; one pair a, b cannot be in two places: leave one out with a query`,
      );
  }
  const chosen: [string, Weighted][] = [];
  parametrize(model, query, (layer, path) => {
    chosen.push([path, layer]);
    return undefined;
  });
  for (const [path, layer] of chosen) {
    if (isCompanded(layer)) fail("argument", `compand: ${path || "the layer"} is companded already`);
    const w = await layer.weight.data();
    const sigma = deviations(w, scope, layer.outputAxis);
    const a = sigma.map((s) => options.a ?? s);
    const b = sigma.map((s, i) => options.b ?? options.a ?? (a[i] as number) ?? s);
    const start = init === "direct" ? { v: w, cut: 0 } : inverted(w, a, b, given, layer.outputAxis);
    if (start.cut > maxCut * w.size)
      fail(
        "argument",
        `compand: an inverse start would cut ${start.cut} of ${w.size} weights of ${path || "the layer"}; an a of ${neededScale(w, given).toPrecision(3)} would cut none`,
      );
    plans.push({ path, layer, a, b, v: start.v, cut: start.cut });
  }
  for (const { layer, a, b, v } of plans) {
    const shape = layer.weight.shape.map((_, axis) => (axis === layer.outputAxis ? a.length : 1));
    const pair = [a, b].map((values) => NDArray.from(values, "float32", shape)) as [NDArray, NDArray];
    layer.weight.set(v);
    parametrizeOne(layer, new WeightCompander(...pair, { ...options, fn: given }));
  }
  const cut = plans.reduce((sum, plan) => sum + plan.cut, 0);
  if (cut > 0) warn(`compand: an inverse start cut ${cut} weights at 0.98 of the bound`);
  return plans.map(({ path, cut }) => ({ path, cut }));
}

const parametrizeOne = (layer: Weighted, parametrization: Parametrization): unknown =>
  parametrize(layer, "**", (own) => (own === layer ? parametrization : undefined));

export const isCompanded = (layer: Weighted): boolean =>
  layer.parametrizations.some((parametrization) => (parametrization as unknown) instanceof WeightCompander);

/** For an optimiser's `groups`: no decay on a and b, and `scale` of the learning rate, which their summed gradients need. */
export const companderGroups = (learningRate: number, scale = 0.01) =>
  ["**.parametrizations.*.a", "**.parametrizations.*.b"].map((match) => ({
    match,
    options: { weightDecay: 0, learningRate: learningRate * scale },
  }));

export interface WeightStatistics {
  readonly path: string;
  /** Fourth moment over squared variance: 3 for a normal distribution. */
  readonly kurtosis: number;
  /** Share of weights below 0.1 σ. */
  readonly nearZero: number;
  /** max |w| / σ. */
  readonly largest: number;
}

/** The distribution of the weights that each layer uses: what companding changes. */
export async function weightStatistics(model: AnyModule): Promise<WeightStatistics[]> {
  const layers = [...model.namedModules()].filter(
    ([, module]) => (module as unknown) instanceof Weighted,
  ) as unknown as [string, Weighted][];
  const program = compile(() =>
    Object.fromEntries(
      layers.map(([, { weight, parametrizations }], i) => [
        `${i}`,
        parametrizations.reduce<Tensor>((w, p) => p.apply(w), weight.mul(1)),
      ]),
    ),
  );
  const values = await program({});
  await program.release();
  return layers.map(([path], i) => {
    const w = (values[i] as NDArray).toNumbers();
    const mean = w.reduce((sum, x) => sum + x, 0) / w.length;
    const moment = (k: number) => w.reduce((sum, x) => sum + (x - mean) ** k, 0) / w.length;
    const sigma = Math.sqrt(moment(2));
    return {
      path,
      kurtosis: moment(4) / sigma ** 4,
      nearZero: w.filter((x) => Math.abs(x) < 0.1 * sigma).length / w.length,
      largest: w.reduce((max, x) => Math.max(max, Math.abs(x)), 0) / sigma,
    };
  });
}

/** σ of the weights of the layer or of each output channel; 1/√fan-in where there is none. */
function deviations(w: NDArray, scope: "layer" | "channel", axis: number): number[] {
  const outputs = w.shape[axis] as number;
  const groups = Array.from({ length: scope === "layer" ? 1 : outputs }, (): number[] => []);
  for (const [i, value] of w.toNumbers().entries()) groups[scope === "layer" ? 0 : channelOf(w, axis, i)]?.push(value);
  return groups.map((values) => {
    const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
    const sigma = Math.sqrt(values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / values.length);
    return sigma > 0 ? sigma : 1 / Math.sqrt(w.size / outputs);
  });
}

const channelOf = (w: NDArray, axis: number, i: number): number => {
  const inner = w.shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  return Math.floor(i / inner) % (w.shape[axis] as number);
};

function inverted(
  w: NDArray,
  a: readonly number[],
  b: readonly number[],
  fn: CompanderFunction,
  axis: number,
): { v: NDArray; cut: number } {
  let cut = 0;
  const v = w.toNumbers().map((value, i) => {
    const c = a.length === 1 ? 0 : channelOf(w, axis, i);
    const limit = 0.98 * Math.abs(fn.bound(a[c] as number));
    if (Math.abs(value) > limit) cut++;
    return fn.inverse(Math.max(-limit, Math.min(limit, value)), a[c] as number, b[c] as number);
  });
  return { v: NDArray.from(v, "float32", w.shape), cut };
}

const neededScale = (w: NDArray, fn: CompanderFunction): number =>
  (w.toNumbers().reduce((max, x) => Math.max(max, Math.abs(x)), 0) / (0.98 * fn.bound(1))) * 1.001;

/** Numerically, on a grid. */
async function checkFunction({ forward, name }: CompanderFunction): Promise<void> {
  if (Object.hasOwn(companders, name) && companders[name as keyof typeof companders].forward === forward) return;
  const grid = Array.from({ length: 41 }, (_, i) => (i - 20) / 5);
  const program = compile(({ v, one }) => ({ w: forward(v as Tensor, one as Tensor, one as Tensor) }));
  const { w } = await program({ v: NDArray.from(grid), one: NDArray.from([1]) });
  await program.release();
  const values = (w as NDArray).toNumbers();
  const isOdd = values.every((value, i) => Math.abs(value + (values[values.length - 1 - i] as number)) < 1e-5);
  const isIncreasing = values.every((value, i) => i === 0 || value > (values[i - 1] as number));
  if (!isOdd || !isIncreasing)
    fail(
      "argument",
      `compand: the function "${name}" is not ${isOdd ? "increasing" : "odd"} on [-4, 4]; weights of both signs need both`,
    );
}

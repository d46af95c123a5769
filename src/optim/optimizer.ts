/** What optimisers share: parameter groups by path, state per parameter, clipping. */

import { pattern } from "../nn/observe.js";
import { concat, fail, formatShape, full, NDArray, sameShape, type Tensor, Variable } from "../tensor/index.js";
import { type Bundle, bundles, join, parameterNames, splitLike } from "./bundles.js";

/** A learning rate: a number, or a tensor (a program input, or a variable that a schedule sets). */
export type LearningRate = number | Tensor;

export interface Group<Options> {
  /** Path query as in `observe`: `**.bias`, `model.layers.*.mlp.**`. The first group that matches a path wins. */
  readonly match: string;
  /** What differs from the optimiser's own options. */
  readonly options: Partial<Options>;
}

export interface Optimizer {
  readonly parameters: readonly Variable[];
  /** Record the update of every parameter, for the program being traced. */
  update(gradients: readonly Tensor[]): void;
  /** Moments and step counter by name, for checkpoints. */
  state(): Map<string, Variable>;
  /** Exchange the model's weights with those to be evaluated and kept, or back: where there are such (`ema`). */
  swap?(): Promise<void>;
}

/** The update of one tensor of parameters: its next value, given gradient, options and its own named state. */
export type Rule<Options> = (context: {
  readonly parameter: Tensor;
  readonly gradient: Tensor;
  readonly options: Options;
  /** Updates so far, as float32, counting this one. */
  readonly step: Tensor;
  /** A variable of the parameter's shape, zero at first. */
  readonly moment: (name: string) => Variable;
}) => Tensor;

interface Unit<Options> extends Bundle {
  readonly options: Options;
  readonly moments: ReadonlyMap<string, Variable>;
}

export function optimizer<Options extends object>(
  name: string,
  parameters: readonly Variable[],
  defaults: Options,
  groups: readonly Group<Options>[],
  moments: readonly string[],
  rule: Rule<Options>,
  /** Lay small parameters end to end; false for a rule that looks at shapes. */
  bundle = true,
): Optimizer {
  if (parameters.length === 0) fail("argument", `${name}: got no parameters; is the whole model frozen?`);
  const labels = parameterNames(parameters);
  const units = divide(name, parameters, labels, defaults, groups, moments, bundle);
  const step = new Variable(NDArray.zeros([]), { name: `${name}.step`, trainable: false });
  const state = new Map<string, Variable>([["step", step]]);
  for (const unit of units)
    for (const [moment, variable] of unit.moments) state.set(`${unit.name}.${moment}`, variable);
  return {
    parameters,
    state: () => state,
    update(gradients) {
      checkGradients(name, parameters, gradients, labels);
      const count = step.add(1);
      step.assign(count);
      for (const { parameters: own, indices, options, moments: state } of units) {
        const gradient = join(indices.map((i) => gradients[i] as Tensor));
        const moment = (key: string) => state.get(key) as Variable;
        const next = rule({ parameter: join(own), gradient, options, step: count, moment });
        for (const [i, value] of splitLike(next, own).entries()) (own[i] as Variable).assign(value);
      }
    },
  };
}

function divide<Options extends object>(
  name: string,
  parameters: readonly Variable[],
  labels: readonly string[],
  defaults: Options,
  groups: readonly Group<Options>[],
  moments: readonly string[],
  bundle: boolean,
): Unit<Options>[] {
  const groupOf = labels.map((label) => groups.findIndex(({ match }) => pattern(match)(label)));
  const marks = groupOf.map((group) => `${group + 1}`);
  return bundles(parameters, labels, { bundle, marks }).map((unit) => {
    const { name: key, indices, shape, dtype } = unit;
    const made = moments.map((moment) => {
      const variable = new Variable(NDArray.zeros(shape, dtype), {
        name: `${name}.${key}.${moment}`,
        trainable: false,
      });
      return [moment, variable] as const;
    });
    const group = groups[groupOf[indices[0] as number] as number];
    const options = checkOptions(name, { ...defaults, ...group?.options });
    return { ...unit, options, moments: new Map(made) };
  });
}

function checkGradients(
  name: string,
  parameters: readonly Variable[],
  gradients: readonly Tensor[],
  labels: readonly string[],
): void {
  if (gradients.length !== parameters.length)
    fail(
      "gradient",
      `${name}: ${gradients.length} gradients for ${parameters.length} parameters; take grad(loss, optimizer.parameters)`,
    );
  for (const [i, { shape }] of gradients.entries()) {
    const expected = (parameters[i] as Variable).shape;
    if (!sameShape(shape, expected))
      fail(
        "gradient",
        `${name}: gradient ${i} has shape ${formatShape(shape)}, parameter "${labels[i]}" ${formatShape(expected)}`,
      );
  }
}

function checkOptions<Options extends object>(name: string, options: Options): Options {
  for (const [key, value] of Object.entries(options))
    if (typeof value === "number" && !(value >= 0 && Number.isFinite(value)))
      fail("argument", `${name}: ${key} must be a number of at least 0, got ${value}`);
  return options;
}

/** Decays of averages (momentum, betas) lie in [0, 1): at 1 nothing new would ever enter. */
export function checkDecays(name: string, decays: Readonly<Record<string, number>>): void {
  for (const [key, value] of Object.entries(decays))
    if (!(value >= 0 && value < 1)) fail("argument", `${name}: ${key} must be in [0, 1), got ${value}`);
}

/** √Σ g² over all gradients together. */
export function globalNorm(gradients: readonly Tensor[]): Tensor {
  return concat(gradients.map((g) => g.square().sum().reshape([1])))
    .sum()
    .sqrt();
}

/**
 * Scale all gradients by min(1, maxNorm / (norm + 1e-6)), as torch's clip_grad_norm_; gives them and the norm before.
 */
export function clipByGlobalNorm(
  gradients: readonly Tensor[],
  maxNorm: number,
): { readonly gradients: Tensor[]; readonly norm: Tensor } {
  if (!(maxNorm > 0)) fail("argument", `clipByGlobalNorm: maxNorm must be positive, got ${maxNorm}`);
  const norm = globalNorm(gradients);
  const factor = full([], maxNorm).div(norm.add(1e-6)).minimum(1);
  return { gradients: gradients.map((g) => g.mul(factor)), norm };
}

/** What optimisers share: parameter groups by path, state per parameter, clipping. */

import { pattern } from "../nn/observe.js";
import { concat, fail, formatShape, full, NDArray, sameShape, type Tensor, Variable } from "../tensor/index.js";

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
}

/** The update of one parameter: its next value, given gradient, options and its own named state. */
export type Rule<Options> = (context: {
  readonly parameter: Variable;
  readonly gradient: Tensor;
  readonly options: Options;
  /** Updates so far, as float32, counting this one. */
  readonly step: Tensor;
  /** A variable of the parameter's shape, zero at first; created once. */
  readonly moment: (name: string) => Variable;
}) => Tensor;

export function optimizer<Options extends object>(
  name: string,
  parameters: readonly Variable[],
  defaults: Options,
  groups: readonly Group<Options>[],
  moments: readonly string[],
  rule: Rule<Options>,
): Optimizer {
  if (parameters.length === 0) fail("argument", `${name}: got no parameters; is the whole model frozen?`);
  const labels = parameterNames(parameters);
  const options = parameters.map((_, i) => merge(name, defaults, groups, labels[i] as string));
  const step = new Variable(NDArray.zeros([]), { name: `${name}.step`, trainable: false });
  const state = new Map<string, Variable>([["step", step]]);
  for (const [i, parameter] of parameters.entries())
    for (const moment of moments) {
      const key = `${labels[i]}.${moment}`;
      state.set(
        key,
        new Variable(NDArray.zeros(parameter.shape, parameter.dtype), { name: `${name}.${key}`, trainable: false }),
      );
    }
  return {
    parameters,
    state: () => state,
    update(gradients) {
      if (gradients.length !== parameters.length)
        fail(
          "gradient",
          `${name}: ${gradients.length} gradients for ${parameters.length} parameters; take grad(loss, optimizer.parameters)`,
        );
      const count = step.add(1);
      step.assign(count);
      for (const [i, parameter] of parameters.entries()) {
        const gradient = gradients[i] as Tensor;
        if (!sameShape(gradient.shape, parameter.shape))
          fail(
            "gradient",
            `${name}: gradient ${i} has shape ${formatShape(gradient.shape)}, parameter "${labels[i]}" ${formatShape(parameter.shape)}`,
          );
        const moment = (key: string) => state.get(`${labels[i]}.${key}`) as Variable;
        parameter.assign(rule({ parameter, gradient, options: options[i] as Options, step: count, moment }));
      }
    },
  };
}

/** Paths where parameters have them (after `model.parameters()`), else their position. */
function parameterNames(parameters: readonly Variable[]): string[] {
  const names = parameters.map((parameter, i) => parameter.name || `parameter.${i}`);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined)
    fail("argument", `optimizer: two parameters are named "${twice}"; give variables names of their own`);
  return names;
}

function merge<Options extends object>(
  name: string,
  defaults: Options,
  groups: readonly Group<Options>[],
  path: string,
): Options {
  const group = groups.find(({ match }) => pattern(match)(path));
  const options = { ...defaults, ...group?.options };
  for (const [key, value] of Object.entries(options))
    if (typeof value === "number" && !(value >= 0 && Number.isFinite(value)))
      fail("argument", `${name}: ${key} must be a number of at least 0, got ${value}`);
  return options;
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

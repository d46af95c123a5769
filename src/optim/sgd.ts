import type { Variable } from "../tensor/index.js";
import { type Group, type LearningRate, type Optimizer, optimizer } from "./optimizer.js";

export interface SgdOptions {
  readonly learningRate: LearningRate;
  readonly momentum?: number;
  /** Look ahead along the momentum (Sutskever's form, as torch). */
  readonly nesterov?: boolean;
  /** L2 penalty λ: adds λ θ to the gradient. */
  readonly weightDecay?: number;
}

/**
 * Stochastic gradient descent: g ← g + λ θ; b ← μ b + g; θ ← θ - η b (or g + μ b with Nesterov). The first b is g, as
 * in torch, which zero-initialised b gives.
 */
export function sgd(
  parameters: readonly Variable[],
  options: SgdOptions & { readonly groups?: readonly Group<SgdOptions>[] },
): Optimizer {
  const { groups = [], ...own } = options;
  const defaults = { momentum: 0, nesterov: false, weightDecay: 0, ...own };
  const hasMomentum = [defaults, ...groups.map((group) => group.options)].some(({ momentum = 0 }) => momentum > 0);
  return optimizer<typeof defaults>(
    "sgd",
    parameters,
    defaults,
    groups as readonly Group<typeof defaults>[],
    hasMomentum ? ["momentum"] : [],
    ({ parameter, gradient, options: o, moment }) => {
      const g = o.weightDecay > 0 ? gradient.add(parameter.mul(o.weightDecay)) : gradient;
      if (o.momentum === 0) return parameter.sub(g.mul(o.learningRate));
      const buffer = moment("momentum");
      const b = buffer.mul(o.momentum).add(g);
      buffer.assign(b);
      return parameter.sub((o.nesterov ? g.add(b.mul(o.momentum)) : b).mul(o.learningRate));
    },
  );
}

import { type Variable, where } from "../tensor/index.js";
import { type Group, type LearningRate, type Optimizer, optimizer } from "./optimizer.js";

export interface SgdOptions {
  readonly learningRate: LearningRate;
  readonly momentum?: number;
  /** Look ahead along the momentum (Sutskever's form, as torch). */
  readonly nesterov?: boolean;
  /** Share of the gradient kept out of the momentum after its first step (default 0). */
  readonly dampening?: number;
  /** L2 penalty λ: adds λ θ to the gradient. */
  readonly weightDecay?: number;
}

type Settings = Required<SgdOptions>;

/**
 * Stochastic gradient descent: g ← g + λ θ; b ← μ b + (1 - τ) g; θ ← θ - η b (or g + μ b with Nesterov). The first b
 * is g itself, as in torch.
 */
export function sgd(
  parameters: readonly Variable[],
  { groups = [], ...own }: SgdOptions & { readonly groups?: readonly Group<SgdOptions>[] },
): Optimizer {
  const defaults: Settings = { momentum: 0, nesterov: false, dampening: 0, weightDecay: 0, ...own };
  const remembers = [defaults, ...groups.map(({ options }) => options)].some(({ momentum = 0 }) => momentum > 0);
  return optimizer<Settings>(
    "sgd",
    parameters,
    defaults,
    groups as readonly Group<Settings>[],
    remembers ? ["momentum"] : [],
    ({ parameter: θ, gradient, options, step, moment }) => {
      const { momentum: μ, dampening: τ, nesterov, weightDecay: λ, learningRate: η } = options;
      const g = λ > 0 ? gradient.add(θ.mul(λ)) : gradient;
      if (μ === 0) return θ.sub(g.mul(η));
      const old = moment("momentum");
      const damped = τ === 0 ? g : g.mul(where(step.equal(1), 1, 1 - τ));
      const b = old.mul(μ).add(damped);
      old.assign(b);
      return θ.sub((nesterov ? g.add(b.mul(μ)) : b).mul(η));
    },
  );
}

import { full, type Tensor, type Variable } from "../tensor/index.js";
import { type Group, type LearningRate, type Optimizer, optimizer } from "./optimizer.js";

export interface AdamOptions {
  readonly learningRate: LearningRate;
  /** Decay of the first and second moment (default 0.9, 0.999). */
  readonly betas?: readonly [number, number];
  readonly eps?: number;
  readonly weightDecay?: number;
  /** Divide by the largest second moment so far (On the Convergence of Adam and Beyond, 2018). Default false. */
  readonly amsgrad?: boolean;
}

type Settings = Required<AdamOptions>;
type WithGroups = AdamOptions & { readonly groups?: readonly Group<AdamOptions>[] };

/**
 * Adam (Adam: A Method for Stochastic Optimization, 2014): m ← β₁ m + (1 - β₁) g; v ← β₂ v + (1 - β₂) g²;
 * θ ← θ - η m̂ / (√v̂ + eps), with m̂ = m / (1 - β₁ᵗ), v̂ = v / (1 - β₂ᵗ). weightDecay (default 0) adds λ θ to g.
 */
export const adam = (parameters: readonly Variable[], options: WithGroups): Optimizer =>
  build("adam", parameters, options, 0, false);

/**
 * Adam with decay apart from the gradient (Decoupled Weight Decay Regularization, 2017): θ ← θ (1 - η λ) first, then
 * Adam's step. weightDecay defaults to 0.01, as in torch.
 */
export const adamW = (parameters: readonly Variable[], options: WithGroups): Optimizer =>
  build("adamW", parameters, options, 0.01, true);

function build(
  name: string,
  parameters: readonly Variable[],
  { groups = [], ...own }: WithGroups,
  weightDecay: number,
  decoupled: boolean,
): Optimizer {
  const defaults: Settings = { betas: [0.9, 0.999], eps: 1e-8, weightDecay, amsgrad: false, ...own };
  const moments = [defaults, ...groups.map(({ options }) => options)].some(({ amsgrad }) => amsgrad)
    ? ["M", "V", "VMax"]
    : ["M", "V"];
  return optimizer<Settings>(
    name,
    parameters,
    defaults,
    groups as readonly Group<Settings>[],
    moments,
    ({ parameter: θ, gradient, options: o, step, moment }) => {
      const [β1, β2] = o.betas;
      const decay = o.weightDecay > 0;
      const g = decay && !decoupled ? gradient.add(θ.mul(o.weightDecay)) : gradient;
      // M = m / (1 - β₁) and V = v / (1 - β₂) are kept, and scalars taken together, so that each parameter is passed
      // over as few times as can be: η m̂ / (√v̂ + eps) = (η (1 - β₁) r / c₁) · M / (√V + eps r), r = √(c₂ / (1 - β₂))
      const [oldM, oldV] = [moment("M"), moment("V")];
      const M = oldM.mul(β1).add(g);
      const V = oldV.mul(β2).add(g.square());
      oldM.assign(M);
      oldV.assign(V);
      const bound = o.amsgrad ? moment("VMax").maximum(V) : V;
      if (o.amsgrad) moment("VMax").assign(bound);
      const r = correction(β2, step)
        .mul(1 / (1 - β2))
        .sqrt();
      const rate = r
        .div(correction(β1, step))
        .mul(1 - β1)
        .mul(o.learningRate);
      const shrunk = decay && decoupled ? θ.mul(shrink(o)) : θ;
      return shrunk.sub(M.mul(rate).div(bound.sqrt().add(r.mul(o.eps))));
    },
  );
}

/** 1 - βᵗ = -expm1(x) with x = t log β, as tanh(-x/2) (eˣ + 1): 1 - eˣ itself loses four digits in float32 at t = 1. */
function correction(β: number, step: Tensor): Tensor {
  const x = step.mul(Math.log(β));
  return x.mul(-0.5).tanh().mul(x.exp().add(1));
}

const shrink = ({ learningRate, weightDecay }: Settings): number | Tensor =>
  typeof learningRate === "number" ? 1 - learningRate * weightDecay : full([], 1).sub(learningRate.mul(weightDecay));

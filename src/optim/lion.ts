import type { Variable } from "../tensor/index.js";
import { checkDecays, type Group, type LearningRate, type Optimizer, optimizer } from "./optimizer.js";

export interface LionOptions {
  /** About a tenth to a third of AdamW's: every element moves by all of it. */
  readonly learningRate: LearningRate;
  /** β₁ mixes the gradient into the step, β₂ into the momentum (default 0.9, 0.99). */
  readonly betas?: readonly [number, number];
  /** Decay λ apart from the gradient (default 0); 3 to 10 times AdamW's, as the rate is that much smaller. */
  readonly weightDecay?: number;
}

type Settings = Required<LionOptions>;

/**
 * Lion (Symbolic Discovery of Optimization Algorithms, 2023): c = β₁ m + (1 - β₁) g; θ ← θ - η (sign(c) + λ θ);
 * m ← β₂ m + (1 - β₂) g. One moment, half of Adam's state.
 */
export function lion(
  parameters: readonly Variable[],
  { groups = [], ...own }: LionOptions & { readonly groups?: readonly Group<LionOptions>[] },
): Optimizer {
  const defaults: Settings = { betas: [0.9, 0.99], weightDecay: 0, ...own };
  for (const { betas } of [defaults, ...groups.map(({ options }) => options)])
    if (betas) checkDecays("lion", { "betas[0]": betas[0], "betas[1]": betas[1] });
  return optimizer<Settings>(
    "lion",
    parameters,
    defaults,
    groups as readonly Group<Settings>[],
    ["momentum"],
    ({ parameter: θ, gradient: g, options, moment }) => {
      const {
        betas: [β1, β2],
        learningRate: η,
        weightDecay: λ,
      } = options;
      const m = moment("momentum");
      const step = m
        .mul(β1)
        .add(g.mul(1 - β1))
        .sign();
      m.assign(m.mul(β2).add(g.mul(1 - β2)));
      return θ.sub((λ > 0 ? step.add(θ.mul(λ)) : step).mul(η));
    },
  );
}

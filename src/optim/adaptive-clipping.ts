/**
 * Adaptive gradient clipping: the gradient of each output unit is kept below a share of the unit's own size,
 *
 *   g_u ← g_u λ max(‖W_u‖, ε) / ‖g_u‖   where ‖g_u‖ > λ max(‖W_u‖, ε)
 *
 * A unit is a row of a matrix, a filter of a convolution, or the whole tensor where at most one axis is longer than 1.
 *
 *   optimizer.update(adaptiveClip(grad(loss, parameters), parameters, { clipping: 0.16 }))
 *
 * Source: "High-Performance Large-Scale Image Recognition Without Normalization", 2021.
 */
import { pattern } from "../nn/observe.js";
import { fail, type Tensor, type Variable, where } from "../tensor/index.js";

export interface AdaptiveClipOptions {
  /** λ (0.01 for batches of thousands, 0.08 to 0.16 for small ones; default 0.16). */
  readonly clipping?: number;
  /** ε, the least size of a unit that counts (default 1e-3). */
  readonly eps?: number;
  /** Paths of parameters that are left alone, as in `observe`: `fc.*` for the last layer. */
  readonly exclude?: string;
}

/** Throws for a λ or ε that is not positive, and gradients that do not fit the parameters. */
export function adaptiveClip(
  gradients: readonly Tensor[],
  parameters: readonly Variable[],
  { clipping = 0.16, eps = 1e-3, exclude }: AdaptiveClipOptions = {},
): Tensor[] {
  for (const [name, value] of Object.entries({ clipping, eps }))
    if (!(value > 0)) fail("argument", `adaptiveClip: expected a positive ${name}, got ${value}`);
  if (gradients.length !== parameters.length)
    fail("gradient", `adaptiveClip: ${gradients.length} gradients for ${parameters.length} parameters`);
  const isExcluded = exclude === undefined ? () => false : pattern(exclude);
  return gradients.map((g, i) => {
    const W = parameters[i] as Variable;
    if (isExcluded(W.name)) return g;
    const most = unitNorm(W).maximum(eps).mul(clipping);
    const size = unitNorm(g);
    return where(size.greater(most), g.mul(most.div(size.maximum(1e-6))), g);
  });
}

function unitNorm(x: Tensor): Tensor {
  const isWhole = x.rank < 2 || x.shape.filter((n) => n > 1).length <= 1;
  const axes = Array.from({ length: x.rank }, (_, i) => i).slice(isWhole ? 0 : 1);
  const squares = x.square();
  return (axes.length > 0 ? squares.sum(axes, { keepDims: true }) : squares).sqrt();
}

/**
 * Spectral normalisation: a layer uses W / σ, σ about the largest singular value of W as a matrix [out, rest], so that it
 * stretches nothing by more than 1. One step of the power method in every forward pass of training follows it:
 *
 *   v ← Wᵀ u / max(‖Wᵀ u‖, ε);   u ← W v / max(‖W v‖, ε);   σ = uᵀ W v          u [out], v [rest] constants to the gradient
 *
 * In inference u and v stay. Exactly torch.nn.utils.spectral_norm, whose u and v start at random, too: σ is only right after
 * some passes in training. A weight of zeros has no σ and gives NaN, as there.
 *
 * Source: "Spectral Normalization for Generative Adversarial Networks", 2018.
 */
import { fail, isTraining, NDArray, philoxNormal, stopGradient, type Tensor, Variable } from "../tensor/index.js";
import { type AnyModule, Module } from "./module.js";
import { parametrize } from "./parametrization.js";

export interface SpectralNormOptions {
  /** Steps of the power method in a forward pass (default 1). */
  readonly iterations?: number;
  /** ε (default 1e-12). */
  readonly eps?: number;
  /** Of the first u and v. */
  readonly seed?: number;
}

export class SpectralNorm extends Module {
  readonly u: Variable; // [out]
  readonly v: Variable; // [rest]
  readonly iterations: number;
  readonly eps: number;

  /** For weights of this shape. `site` and the seed decide the first u and v. */
  constructor(
    shape: readonly number[],
    readonly outputAxis: number,
    site: string,
    { iterations = 1, eps = 1e-12, seed = 0 }: SpectralNormOptions = {},
  ) {
    super();
    if (!Number.isInteger(iterations) || iterations < 1)
      fail("argument", `spectralNorm: expected a whole number of iterations from 1, got ${iterations}`);
    if (!(eps > 0)) fail("argument", `spectralNorm: expected a positive eps, got ${eps}`);
    const outputs = shape[outputAxis] as number;
    const unit = (name: string, size: number) =>
      new Variable(unitVector(philoxNormal({ seed, site: `${site}.${name}` }, size)), { trainable: false });
    this.u = unit("u", outputs);
    this.v = unit("v", shape.reduce((a, b) => a * b, 1) / outputs);
    this.iterations = iterations;
    this.eps = eps;
  }

  override forward(weight: Tensor): Tensor {
    const order = [this.outputAxis, ...weight.shape.keys()].filter((axis, i, all) => all.indexOf(axis) === i);
    const W = weight.transpose(order).reshape([this.u.size, this.v.size]);
    const { u, v } = this.vectors(stopGradient(W));
    const sigma = u
      .reshape([1, u.size])
      .matmul(W)
      .matmul(v.reshape([v.size, 1]))
      .reshape([]);
    return weight.div(sigma);
  }

  /** u and v as this pass has them, moved on in training. */
  private vectors(W: Tensor): { u: Tensor; v: Tensor } {
    let [u, v] = [this.u.latest, this.v.latest];
    if (!isTraining()) return { u: this.u, v: this.v };
    for (let i = 0; i < this.iterations; i++) {
      v = this.unit(u.reshape([1, u.size]).matmul(W));
      u = this.unit(W.matmul(v.reshape([v.size, 1])));
    }
    this.u.advance(() => u);
    this.v.advance(() => v);
    return { u, v };
  }

  private unit(x: Tensor): Tensor {
    const flat = x.reshape([x.size]);
    return flat.div(flat.square().sum().sqrt().maximum(this.eps));
  }
}

function unitVector(values: Float32Array): NDArray {
  const length = Math.hypot(...values);
  return NDArray.from(Array.from(values, (value) => value / length));
}

/**
 * Spectral normalisation of all layers with a weight that the query matches (default: all). Changes the model and gives it
 * back; `bake` makes it an ordinary one again.
 */
export function spectralNorm<M extends AnyModule>(
  model: M,
  { query = "**", ...options }: SpectralNormOptions & { readonly query?: string } = {},
): M {
  parametrize(
    model,
    query,
    ({ weight, outputAxis }, path) => new SpectralNorm(weight.shape, outputAxis, path || "weight", options),
  );
  return model;
}

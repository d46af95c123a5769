/**
 * Spectral normalisation: a layer uses W / σ, σ about the largest singular value of W as a matrix [out, rest], so that it
 * stretches nothing by more than 1. One step of the power method in every forward pass of training follows it:
 *
 *   v ← Wᵀ u / max(‖Wᵀ u‖, ε);   u ← W v / max(‖W v‖, ε);   σ = uᵀ W v          u [out], v [rest] constants to the gradient
 *
 * In inference u and v stay. As torch.nn.utils.spectral_norm, from whose state it gives the same; a fresh layer starts like
 * torch's newer parametrizations.spectral_norm with 15 steps from random vectors, so that σ is about right in inference, too
 * (a weight that is on a device already, or loaded later, gets there in training). A weight of zeros has no σ: it gives NaN.
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

  /** For this weight, with `outputAxis` as rows. `site` and the seed decide the random vectors. */
  constructor(
    weight: Variable,
    readonly outputAxis: number,
    site: string,
    { iterations = 1, eps = 1e-12, seed = 0 }: SpectralNormOptions = {},
  ) {
    super();
    if (!Number.isInteger(iterations) || iterations < 1)
      fail("argument", `spectralNorm: expected a whole number of iterations from 1, got ${iterations}`);
    if (!(eps > 0)) fail("argument", `spectralNorm: expected a positive eps, got ${eps}`);
    const outputs = weight.dim(outputAxis);
    const draw = (name: string, size: number) =>
      unitVector(Float64Array.from(philoxNormal({ seed, site: `${site}.${name}` }, size)), eps);
    const start = { u: draw("u", outputs), v: draw("v", weight.size / outputs) };
    const { current } = weight;
    if (current instanceof NDArray) approach(start, current, outputAxis, eps);
    this.u = new Variable(NDArray.from(Array.from(start.u)), { trainable: false });
    this.v = new Variable(NDArray.from(Array.from(start.v)), { trainable: false });
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

/** The vector at length 1. */
function unitVector(x: Float64Array, eps: number): Float64Array {
  const length = Math.max(Math.sqrt(x.reduce((sum, value) => sum + value * value, 0)), eps);
  return x.map((value) => value / length);
}

/** 15 steps of the power method on the host. */
function approach(start: { u: Float64Array; v: Float64Array }, weight: NDArray, axis: number, eps: number): void {
  const inner = weight.shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  const rows = weight.shape[axis] as number;
  const values = weight.toNumbers();
  for (let i = 0; i < 15; i++) {
    const [u, v] = [new Float64Array(start.u.length), new Float64Array(start.v.length)];
    const visit = (f: (value: number, row: number, column: number) => void) => {
      for (let k = 0; k < values.length; k++) {
        const row = Math.floor(k / inner) % rows;
        f(values[k] as number, row, Math.floor(k / (inner * rows)) * inner + (k % inner));
      }
    };
    visit((value, row, column) => {
      v[column] = (v[column] as number) + value * (start.u[row] as number);
    });
    start.v = unitVector(v, eps);
    visit((value, row, column) => {
      u[row] = (u[row] as number) + value * (start.v[column] as number);
    });
    start.u = unitVector(u, eps);
  }
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
    ({ weight, outputAxis }, path) => new SpectralNorm(weight, outputAxis, path || "weight", options),
  );
  return model;
}

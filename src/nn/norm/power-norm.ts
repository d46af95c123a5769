/**
 * PowerNorm: each channel divided by a running quadratic mean, also in training, never centred; the running value cannot be
 * differentiated through all steps before, so the backward pass is an approximation that keeps a statistic of gradients.
 * Layer-scale first: u = x / √(mean of x² over the token's group of channels + 1e-5). Then, with t from 1:
 *
 *   q = mean(u²) over real positions
 *   z = u / √(q + ε) while t ≤ warm-up, else u / √(φ + ε) with φ from before this step;     y = g z + b
 *   φ ← φ (t − 1)/t + q/t while t < warm-up; then always φ ← α φ + (1 − α) q
 *
 *   backward:  a = dy g − (1 − α′) Λ z;   du = a / √(q + ε);   Λ ← Λ + mean(a z);   dg = Σ dy z;   db = Σ dy
 *
 * "pn-v" takes q in training throughout, with the exact derivative. The paper's PN divides du by the running value, the
 * released code by q: `backwardScale`. (1 − α′) Λ is the paper's ν.
 *
 *   inference: y = g u / √(φ + ε) + b. Without layer-scale that folds into the layers which read it; with it, an RMSNorm
 *   without gain stays (`foldNorms`).
 *
 * In a causal model a training step's statistics see later positions. A batch without one real position gives NaN, which
 * training reports. Source: "PowerNorm: Rethinking Batch Normalization in Transformers", 2020.
 */
import { fail, isTraining, NDArray, type Tensor, Variable, where } from "../../tensor/index.js";
import { filled } from "../initial.js";
import { Module } from "../module.js";
import { type Affine, momentAffine } from "./affine.js";
import {
  alongChannels,
  type ChannelAxis,
  checkChannels,
  checkWidth,
  meanSquare,
  otherAxes,
  overChannels,
} from "./channels.js";
import { checkEpsilon } from "./epsilon.js";
import { countStep } from "./gradient-statistics.js";
import { Norm } from "./norm.js";

export interface PowerNormOptions {
  /** "pn" (default) or "pn-v", the step between BatchNorm and it. */
  readonly variant?: "pn" | "pn-v";
  /** Groups of channels in the layer-scale step (default 1; the authors: attention heads). 0 leaves the step out. */
  readonly groups?: number;
  /** α, the weight of the OLD quadratic mean (default 0.9). */
  readonly alphaFwd?: number;
  /** α′, of the statistic of gradients (default 0.9). */
  readonly alphaBkw?: number;
  readonly eps?: number;
  /** Steps with each batch's own quadratic mean (default 10000; the authors: as long as the learning rate's warm-up). */
  readonly warmupIters?: number;
  /** What the gradient is divided by: this batch's value (the released code, default) or the running one (the paper). */
  readonly backwardScale?: "batch" | "running";
  /** Where the channels are (default −1). */
  readonly axis?: ChannelAxis;
}

export class PowerNorm extends Norm {
  readonly weight: Variable; // [C]
  readonly bias: Variable; // [C]
  readonly running_phi: Variable; // [C], φ
  readonly ema_gz: Variable; // [C], Λ
  readonly iters: Variable; // [1], t
  readonly options: Required<PowerNormOptions>;
  override readonly axis: ChannelAxis;

  constructor(
    override readonly width: number,
    options: PowerNormOptions = {},
  ) {
    super();
    this.options = checked(width, options);
    this.axis = this.options.axis;
    const state = (array: NDArray) => new Variable(array, { trainable: false });
    this.weight = new Variable(filled([width], 1));
    this.bias = new Variable(NDArray.zeros([width]));
    this.running_phi = state(filled([width], 1));
    this.ema_gz = state(NDArray.zeros([width]));
    this.iters = state(NDArray.zeros([1], "int32"));
  }

  override forward(x: Tensor): Tensor {
    checkChannels("PowerNorm", x, this.width, this.axis);
    const { groups } = this.options;
    const u = groups === 0 ? x : overChannels(x, this.axis, (channelsLast) => layerScale(channelsLast, groups));
    return isTraining() ? this.train(u) : this.affine(this.divide(u, this.running_phi));
  }

  private train(u: Tensor): Tensor {
    const { variant, warmupIters, backwardScale, alphaBkw } = this.options;
    const { weight, bias, running_phi, ema_gz } = this;
    const along = (vector: Tensor) => alongChannels(vector, u, this.axis);
    const axes = otherAxes(u, this.axis);
    const step = countStep("PowerNorm", this.iters);
    const q = meanSquare(u, this.axis);
    const before = running_phi.latest;
    this.follow(q, step.t);
    if (variant === "pn-v") return this.affine(this.divide(u, q));
    const used = where(step.t.lessEqual(warmupIters), q, before);
    const z = this.divide(u, used);
    return step.differentiable(
      [u, weight, bias],
      () => this.affine(z),
      (dy) => {
        const a = dy.mul(along(weight)).sub(z.mul(along(ema_gz.latest.mul(1 - alphaBkw))));
        ema_gz.advance((old) => old.add(a.mul(z).mean(axes)));
        const du = this.divide(a, backwardScale === "batch" ? q : used);
        return [du, dy.mul(z).sum(axes), dy.sum(axes)];
      },
    );
  }

  private divide(u: Tensor, moment: Tensor): Tensor {
    return u.mul(alongChannels(moment.add(this.options.eps).rsqrt(), u, this.axis));
  }

  private affine(z: Tensor): Tensor {
    return z.mul(alongChannels(this.weight, z, this.axis)).add(alongChannels(this.bias, z, this.axis));
  }

  private follow(q: Tensor, t: Tensor): void {
    const { alphaFwd, warmupIters } = this.options;
    this.running_phi.advance((phi) => {
      const cumulative = phi.mul(t.sub(1)).add(q).div(t);
      return where(t.less(warmupIters), cumulative, phi)
        .mul(alphaFwd)
        .add(q.mul(1 - alphaFwd));
    });
  }

  /** Start the warm-up again, as one should when fine-tuning a loaded checkpoint; the running statistics stay. */
  resetWarmup(): void {
    this.iters.set(NDArray.zeros([1], "int32"));
  }

  async channelAffine(): Promise<Affine> {
    const { groups, eps } = this.options;
    const affine = await momentAffine(this.weight, this.bias, this.running_phi, eps);
    return { ...affine, ...(groups > 0 && { rest: new LayerScale(this.width, groups, this.axis) }) };
  }
}

const layerScaleEpsilon = 1e-5;

/** x [.., C] / √(mean of x² over each of `groups` consecutive groups of channels + 1e-5): this ε is always the same. */
function layerScale(x: Tensor, groups: number): Tensor {
  const grouped = x.reshape([...x.shape.slice(0, -1), groups, x.dim(-1) / groups]);
  return grouped.rmsNorm({ eps: layerScaleEpsilon }).reshape(x.shape);
}

/** The layer-scale step alone: what is left of a folded PowerNorm. */
export class LayerScale extends Module {
  constructor(
    readonly width: number,
    readonly groups: number,
    readonly axis: ChannelAxis = -1,
  ) {
    super();
  }

  override forward(x: Tensor): Tensor {
    checkChannels("LayerScale", x, this.width, this.axis);
    return overChannels(x, this.axis, (channelsLast) => layerScale(channelsLast, this.groups));
  }
}

function checked(width: number, options: PowerNormOptions): Required<PowerNormOptions> {
  const { variant = "pn", groups = 1, alphaFwd = 0.9, alphaBkw = 0.9, eps = 1e-5, warmupIters = 10000 } = options;
  const { backwardScale = "batch", axis = -1 } = options;
  checkWidth("PowerNorm", width);
  if (!Number.isInteger(groups) || groups < 0 || (groups > 0 && width % groups !== 0))
    fail("argument", `PowerNorm: expected groups to divide ${width} channels (0: no layer-scale), got ${groups}`);
  for (const [name, alpha] of Object.entries({ alphaFwd, alphaBkw }))
    if (!(alpha > 0 && alpha < 1)) fail("argument", `PowerNorm: expected ${name} between 0 and 1, got ${alpha}`);
  if (!(warmupIters >= 0)) fail("argument", `PowerNorm: expected warmupIters of at least 0, got ${warmupIters}`);
  return { variant, groups, alphaFwd, alphaBkw, eps: checkEpsilon("PowerNorm", eps), warmupIters, backwardScale, axis };
}

export const powerNorm = (channels: number, options?: PowerNormOptions): PowerNorm => new PowerNorm(channels, options);

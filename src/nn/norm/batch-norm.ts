/**
 * Batch normalisation, one mean and variance per channel over everything else (n values):
 *
 *   training:   μ = mean(x), σ² = mean((x − μ)²);   y = g (x − μ) / √(σ² + ε) + b
 *               μ̄ ← (1 − m) μ̄ + m μ;   σ̄² ← (1 − m) σ̄² + m σ² n / (n − 1)
 *   inference:  y = g (x − μ̄) / √(σ̄² + ε) + b
 *
 * With the side input "padding" only real positions count. Names and defaults are torch's (ε = 1e-5, m = 0.1).
 * Source: "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift", 2015.
 */
import {
  fail,
  formatShape,
  isTraining,
  NDArray,
  batchNorm as normalizeBatch,
  type Tensor,
  Variable,
} from "../../tensor/index.js";
import { filled } from "../initial.js";
import { sideInput } from "../side-inputs.js";
import { at } from "../where.js";
import { alongChannels, type ChannelAxis, checkChannels, checkWidth, otherAxes, realPositions } from "./channels.js";
import { checkEpsilon } from "./epsilon.js";
import { Norm } from "./norm.js";

export interface BatchNormOptions {
  readonly eps?: number;
  /** m, the weight of the new batch in the running statistics (default 0.1). */
  readonly momentum?: number;
  /** Learn g, first 1, and b, first 0 (default true). */
  readonly affine?: boolean;
  /** Where the channels are (default 1, images; −1 for [batch, tokens, channels]). */
  readonly axis?: ChannelAxis;
}

/** Which statistics are used: the batch's in training and the running ones in inference, or always one of the two. */
export type StatisticsSource = "mode" | "batch" | "running";

export interface Moments {
  /** [C] each. */
  readonly mean: Tensor;
  readonly variance: Tensor;
  /** How many values there were in a channel: a number, or a scalar where positions are padded. */
  readonly count: number | Tensor;
}

export class BatchNorm extends Norm {
  readonly weight: Variable | undefined; // [C]
  readonly bias: Variable | undefined; // [C]
  readonly running_mean: Variable; // [C]
  readonly running_var: Variable; // [C]
  readonly eps: number;
  readonly momentum: number;
  override readonly axis: ChannelAxis;
  /** "running" freezes the layer's statistics, also in training; "batch" uses the batch's, also in inference. */
  statistics: StatisticsSource = "mode";

  constructor(
    override readonly width: number,
    { eps = 1e-5, momentum = 0.1, affine = true, axis = 1 }: BatchNormOptions = {},
  ) {
    super();
    checkWidth("BatchNorm", width);
    if (!(momentum >= 0 && momentum <= 1))
      fail("argument", `BatchNorm: expected a momentum from 0 to 1, got ${momentum}`);
    this.weight = affine ? new Variable(filled([width], 1)) : undefined;
    this.bias = affine ? new Variable(NDArray.zeros([width])) : undefined;
    this.running_mean = new Variable(NDArray.zeros([width]), { trainable: false });
    this.running_var = new Variable(filled([width], 1), { trainable: false });
    this.eps = checkEpsilon("BatchNorm", eps);
    this.momentum = momentum;
    this.axis = axis;
  }

  override forward(x: Tensor): Tensor {
    checkChannels("BatchNorm", x, this.width, this.axis);
    const usesBatch = this.statistics === "batch" || (this.statistics === "mode" && isTraining());
    if (!usesBatch) return this.normalize(x, { mean: this.running_mean, variance: this.running_var });
    const padding = x.rank === 3 ? sideInput("padding") : undefined;
    if (padding) {
      const moments = channelMoments(x, this.axis, padding);
      if (isTraining()) this.follow(moments);
      return this.normalize(x, moments);
    }
    const count = x.size / x.dim(this.axis);
    if (count === 1)
      fail(
        "shape",
        `${at("BatchNorm")}: one value per channel in ${formatShape(x.shape)} has no variance; use a larger batch, or inference mode`,
      );
    const { y, mean, variance } = normalizeBatch(x, this);
    if (isTraining()) this.follow({ mean, variance, count });
    return y;
  }

  /** g (x − μ) / √(σ² + ε) + b with given statistics [C]. */
  protected normalize(x: Tensor, { mean, variance }: Pick<Moments, "mean" | "variance">): Tensor {
    const along = (vector: Tensor) => alongChannels(vector, x, this.axis);
    const inverse = variance.add(this.eps).rsqrt();
    const scale = this.weight ? inverse.mul(this.weight) : inverse;
    const y = x.sub(along(mean)).mul(along(scale));
    return this.bias ? y.add(along(this.bias)) : y;
  }

  /** The running statistics, with the unbiased variance. */
  protected follow({ mean, variance, count }: Moments): void {
    const unbiased =
      typeof count === "number" ? variance.mul(count / (count - 1)) : variance.mul(count.div(count.sub(1).maximum(1)));
    this.toward(this.running_mean, mean);
    this.toward(this.running_var, unbiased);
  }

  /** running ← (1 − m) running + m now */
  protected toward(running: Variable, now: Tensor): void {
    const m = this.momentum;
    running.advance((old) => old.mul(1 - m).add(now.mul(m)));
  }

  /** In inference the layer is y = scale · x + shift per channel. */
  async channelAffine(): Promise<{ readonly scale: number[]; readonly shift: number[] } | undefined> {
    if (this.statistics === "batch") return undefined;
    const read = async (variable: Variable | undefined) => variable && (await variable.data()).toNumbers();
    const [g, b, mean, variance] = await Promise.all(
      [this.weight, this.bias, this.running_mean, this.running_var].map(read),
    );
    const scale = (variance as number[]).map((v, c) => (g?.[c] ?? 1) / Math.sqrt(v + this.eps));
    return { scale, shift: scale.map((s, c) => (b?.[c] ?? 0) - s * ((mean as number[])[c] as number)) };
  }
}

/** Mean and biased variance of every channel, the mean first; over real positions where there is padding. */
export function channelMoments(x: Tensor, axis: ChannelAxis, padding?: Tensor): Moments {
  const axes = otherAxes(x, axis);
  const along = (vector: Tensor) => alongChannels(vector, x, axis);
  if (!padding) {
    const mean = x.mean(axes);
    return { mean, variance: x.sub(along(mean)).square().mean(axes), count: x.size / x.dim(axis) };
  }
  const real = realPositions(x, padding, axis);
  const count = real.sum();
  const mean = x.mul(real).sum(axes).div(count);
  return { mean, variance: x.sub(along(mean)).square().mul(real).sum(axes).div(count), count };
}

export const batchNorm = (channels: number, options?: BatchNormOptions): BatchNorm => new BatchNorm(channels, options);

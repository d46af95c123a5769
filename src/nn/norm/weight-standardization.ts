/**
 * Weight standardisation (WS): a convolution uses filters of mean 0 and variance 1 over their fan-in N, differentiated
 * through,
 *
 *   Ŵᵢ = (Wᵢ − μᵢ) / (√σ²ᵢ + ε)   or   (Wᵢ − μᵢ) / √(σ²ᵢ + ε);    σ²ᵢ = Σ (Wᵢ − μᵢ)² / (N − 1)
 *
 * and batch-channel normalisation (BCN): a batch norm, then a group norm with one gain and one bias per group. For batches
 * of one or two images the batch norm uses running statistics in training, too (`EstimatedBatchNorm`):
 *
 *   m ← (1 − r) m + r mean(x);   s ← (1 − r) s + r mean((x − m_old)²);   u = g (x − m) / √(s + ε) + b
 *
 * with m and s constants to the gradient. The variance is taken around the old mean, as by the authors: while the mean
 * still moves, s is too large.
 *
 * Source: "Micro-Batch Training with Batch-Channel Normalization and Weight Standardization", 2019. How the authors change
 * r over time is not published: the default 0.01 is ours.
 */
import { fail, isTraining, NDArray, stopGradient, type Tensor, Variable } from "../../tensor/index.js";
import { filled } from "../initial.js";
import { type AnyModule, Module } from "../module.js";
import { type Parametrization, parametrize } from "../parametrization.js";
import { warn } from "../warn.js";
import { BatchNorm, type BatchNormOptions } from "./batch-norm.js";
import { layersBeforeNorms } from "./before-norms.js";
import { alongChannels, type ChannelAxis, checkChannels, moveChannels, otherAxes } from "./channels.js";
import { checkEpsilon } from "./epsilon.js";
import { groupsFor } from "./groups-for.js";
import { Norm } from "./norm.js";

export interface WeightStandardizationOptions {
  /** ε (default 1e-5). */
  readonly eps?: number;
  /** ε is added to the deviation ("add", default, as the WS repository) or to the variance ("inside", as BCN's and timm's). */
  readonly epsMode?: "add" | "inside";
  /** Divide by N − 1 (default true); timm's StdConv2d divides by N. */
  readonly unbiased?: boolean;
}

/** The standardised weight; every other axis than the first is fan-in. */
export class WeightStandardization extends Module {
  readonly eps: number;
  readonly epsMode: "add" | "inside";
  readonly unbiased: boolean;

  constructor({ eps = 1e-5, epsMode = "add", unbiased = true }: WeightStandardizationOptions = {}) {
    super();
    this.eps = checkEpsilon("WeightStandardization", eps);
    this.epsMode = epsMode;
    this.unbiased = unbiased;
  }

  override forward(W: Tensor): Tensor {
    const N = W.size / W.dim(0);
    if (N < 2) fail("shape", `weight standardisation: a filter of fan-in ${N} has no variance; leave this layer out`);
    const rows = W.reshape([W.dim(0), N]);
    const centred = rows.sub(rows.mean(1, { keepDims: true }));
    const variance = centred
      .square()
      .sum(1, { keepDims: true })
      .div(this.unbiased ? N - 1 : N);
    // A constant filter has variance 0, where the root has no derivative.
    const deviation =
      this.epsMode === "inside" ? variance.add(this.eps).sqrt() : variance.maximum(1e-30).sqrt().add(this.eps);
    return centred.div(deviation).reshape(W.shape);
  }
}

export const weightStandardization = (options?: WeightStandardizationOptions): Parametrization =>
  new WeightStandardization(options);

/**
 * Standardise the weights of layers right before a norm, or, with a query, of all layers that it matches. Layers with a
 * fan-in of 1 are left as they are, with a warning. Changes the model; `bake` makes it an ordinary one again.
 */
export function standardizeWeights<M extends AnyModule>(
  model: M,
  { query, ...options }: WeightStandardizationOptions & { readonly query?: string } = {},
): M {
  const before = layersBeforeNorms(model);
  parametrize(model, query ?? "**", (layer, path) => {
    if (query === undefined && !before.has(layer)) return undefined;
    if (layer.weight.size / layer.weight.dim(0) > 1) return new WeightStandardization(options);
    warn(`weight standardisation leaves ${path} out: its filters have a fan-in of 1`);
    return undefined;
  });
  return model;
}

export interface EstimatedBatchNormOptions extends Omit<BatchNormOptions, "momentum"> {
  /** r, the first value of the variable `rate` (default 0.01): `norm.rate.set(0.5)` changes it without a new trace. */
  readonly rate?: number;
}

/** A batch norm that uses its running statistics in training, too, updated before use. */
export class EstimatedBatchNorm extends BatchNorm {
  readonly rate: Variable; // scalar

  constructor(width: number, { rate = 0.01, ...options }: EstimatedBatchNormOptions = {}) {
    super(width, options);
    if (!(rate >= 0 && rate <= 1)) fail("argument", `EstimatedBatchNorm: expected a rate from 0 to 1, got ${rate}`);
    if (rate === 0) warn("EstimatedBatchNorm: at rate 0 nothing is estimated; set norm.rate before training");
    this.rate = new Variable(filled([], rate), { trainable: false });
  }

  override forward(x: Tensor): Tensor {
    checkChannels("EstimatedBatchNorm", x, this.width, this.axis);
    if (isTraining()) this.estimate(stopGradient(x));
    return this.normalize(x, { mean: this.running_mean.latest, variance: this.running_var.latest });
  }

  private estimate(x: Tensor): void {
    const [axes, r, old] = [otherAxes(x, this.axis), this.rate, this.running_mean.latest];
    const q = x
      .sub(alongChannels(old, x, this.axis))
      .square()
      .mean(axes);
    const toward = (now: Tensor) => (running: Tensor) => running.add(now.sub(running).mul(r));
    this.running_mean.advance(toward(x.mean(axes)));
    this.running_var.advance(toward(q));
  }
}

export interface BatchChannelNormOptions extends BatchNormOptions {
  /** Groups of the channel part (default 32, or the largest smaller number that divides the channels). */
  readonly groups?: number;
  /** Estimated statistics in the batch part, for batches of a few images (default false). */
  readonly estimate?: boolean;
  readonly rate?: number;
}

/** Names of the authors: `bn.…` for the batch part, `weight` and `bias` [1, G, 1] for the channel part. */
export class BatchChannelNorm extends Norm {
  readonly weight: Variable; // [1, G, 1]
  readonly bias: Variable; // [1, G, 1]
  readonly bn: BatchNorm;
  readonly groups: number;
  readonly eps: number;
  override readonly axis: ChannelAxis;

  constructor(
    override readonly width: number,
    { groups = groupsFor(width), estimate = false, rate, ...options }: BatchChannelNormOptions = {},
  ) {
    super();
    if (!Number.isInteger(groups) || groups < 1 || width % groups !== 0)
      fail("argument", `BatchChannelNorm: ${groups} groups do not divide ${width} channels; choose a divisor`);
    this.bn = estimate
      ? new EstimatedBatchNorm(width, { ...options, ...(rate !== undefined && { rate }) })
      : new BatchNorm(width, options);
    this.weight = new Variable(filled([1, groups, 1], 1));
    this.bias = new Variable(NDArray.zeros([1, groups, 1]));
    this.groups = groups;
    this.eps = checkEpsilon("BatchChannelNorm", options.eps ?? 1e-5);
    this.axis = this.bn.axis;
  }

  override forward(x: Tensor): Tensor {
    const u = this.bn.apply(x);
    if (this.axis === 1 || x.rank === 2) return this.channelPart(u);
    return moveChannels(this.channelPart(moveChannels(u, "first")), "last");
  }

  private channelPart(u: Tensor): Tensor {
    const v = u.reshape([u.dim(0), this.groups, u.size / (u.dim(0) * this.groups)]);
    return v.layerNorm({ axes: 1, eps: this.eps }).mul(this.weight).add(this.bias).reshape(u.shape);
  }
}

export const batchChannelNorm = (width: number, options?: BatchChannelNormOptions): BatchChannelNorm =>
  new BatchChannelNorm(width, options);

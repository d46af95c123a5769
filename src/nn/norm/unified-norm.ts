/**
 * Unified Normalization: each channel divided by a smoothed second moment, never centred; a matching estimate corrects the
 * backward pass, and a batch that looks like an outlier stays out of the smoothing. All in paper's notation, step t from 1:
 *
 *   q = mean(x²) over real positions, written into row t mod M of a window;   m the momentum
 *   v = exp(mean over the window of log q)        after the warm-up, once the window is full; else v = q
 *   r = clip(√(v + ε) / √(σ̄² + ε), 1/5, 5)        after max(1000, warm-up) steps; else r = 1
 *   z = x / √(v + ε),   y = g z + b,              σ̄² ← m σ̄² + (1 − m) v
 *
 *   backward:  d = dy g r;  μ = mean(d z), smoothed over its own window by the arithmetic mean;  ψ ← m ψ + (1 − m) μ
 *              dx = (d − ψ z) / √(v + ε);   dg = Σ dy r z;   db = Σ dy
 *
 *   outlier filtration: where, for any channel, the window's arithmetic mean exceeds its geometric mean by more than
 *   M · Var(√window), the row gets σ̄² instead of q, and this step uses v = q, r = 1 and μ alone.
 *
 *   inference: y = g x / √(σ̄² + ε) + b, a scale and a shift per channel: `foldNorms` takes it into the layers that read it.
 *
 * In a causal model the statistics of a training step see later positions; inference sees none of that. State names are the
 * released code's (`running_var` is a second moment). A batch without one real position gives NaN, which training reports.
 * Source: "Unified Normalization for Accelerating and Stabilizing Transformers", 2022.
 */
import { arange, fail, full, isTraining, NDArray, type Tensor, Variable, where } from "../../tensor/index.js";
import { filled } from "../initial.js";
import { type Affine, momentAffine } from "./affine.js";
import { alongChannels, type ChannelAxis, checkChannels, checkWidth, meanSquare, otherAxes } from "./channels.js";
import { checkEpsilon } from "./epsilon.js";
import { countStep } from "./gradient-statistics.js";
import { Norm } from "./norm.js";

export interface UnifiedNormOptions {
  /** M, rows of the windows of activations and of gradients: one number or both (default 4). 1: no smoothing. */
  readonly windowSize?: number | readonly [forward: number, backward: number];
  /** Steps with each batch's own statistics (default 4000). */
  readonly warmupIters?: number;
  /** Keep outliers out of the window (default false; the authors: off for language, on for vision). */
  readonly outlierFiltration?: boolean;
  /** Whether a rejected batch still moves σ̄², as the released code has it (default true). */
  readonly followOutliers?: boolean;
  readonly eps?: number;
  /** m, the weight of the OLD value (default 0.9). */
  readonly momentum?: number;
  /** Where the channels are (default −1). */
  readonly axis?: ChannelAxis;
}

/** log of a row that was never written must be finite; no decision depends on its value. */
const least = 1.2e-38;
/** r is 1 for so many steps whatever the warm-up is: hard-wired in the released code. */
const ratioWarmup = 1000;

export class UnifiedNorm extends Norm {
  readonly weight: Variable; // [C]
  readonly bias: Variable; // [C]
  readonly running_var: Variable; // [C], σ̄²
  readonly ema_gz: Variable; // [C], ψ
  readonly iters: Variable; // [1], t
  readonly buffer_x2: Variable; // [M, C]
  readonly buffer_gz: Variable; // [M, C]
  readonly skip_counter: Variable; // [1], batches rejected
  readonly warmupIters: number;
  readonly outlierFiltration: boolean;
  readonly followOutliers: boolean;
  readonly eps: number;
  readonly momentum: number;
  override readonly axis: ChannelAxis;

  constructor(
    override readonly width: number,
    options: UnifiedNormOptions = {},
  ) {
    super();
    const { windowSize = 4, warmupIters = 4000, outlierFiltration = false, followOutliers = true } = options;
    const { eps = 1e-5, momentum = 0.9, axis = -1 } = options;
    checkWidth("UnifiedNorm", width);
    const [forward, backward] = typeof windowSize === "number" ? [windowSize, windowSize] : windowSize;
    for (const size of [forward, backward])
      if (!Number.isInteger(size) || size < 1)
        fail("argument", `UnifiedNorm: expected a windowSize of at least one whole step, got ${size}`);
    if (!(warmupIters >= 0)) fail("argument", `UnifiedNorm: expected warmupIters of at least 0, got ${warmupIters}`);
    if (!(momentum > 0 && momentum < 1))
      fail("argument", `UnifiedNorm: expected a momentum between 0 and 1, got ${momentum}`);
    const state = (array: NDArray) => new Variable(array, { trainable: false });
    this.weight = new Variable(filled([width], 1));
    this.bias = new Variable(NDArray.zeros([width]));
    this.running_var = state(filled([width], 1));
    this.ema_gz = state(NDArray.zeros([width]));
    this.iters = state(NDArray.zeros([1], "int32"));
    this.buffer_x2 = state(NDArray.zeros([forward, width]));
    this.buffer_gz = state(NDArray.zeros([backward, width]));
    this.skip_counter = state(NDArray.zeros([1], "int32"));
    [this.warmupIters, this.outlierFiltration, this.followOutliers] = [warmupIters, outlierFiltration, followOutliers];
    this.eps = checkEpsilon("UnifiedNorm", eps);
    this.momentum = momentum;
    this.axis = axis;
  }

  override forward(x: Tensor): Tensor {
    checkChannels("UnifiedNorm", x, this.width, this.axis);
    const along = (vector: Tensor) => alongChannels(vector, x, this.axis);
    if (isTraining()) return this.train(x);
    const scale = this.weight.mul(this.running_var.add(this.eps).rsqrt());
    return x.mul(along(scale)).add(along(this.bias));
  }

  private train(x: Tensor): Tensor {
    const { eps, momentum: m, axis, weight, bias, running_var, ema_gz } = this;
    const along = (vector: Tensor) => alongChannels(vector, x, axis);
    const axes = otherAxes(x, axis);
    const step = countStep("UnifiedNorm", this.iters);
    const { v, skip } = this.smoothed(meanSquare(x, axis), step.t);
    const early = step.t.lessEqual(Math.max(ratioWarmup, this.warmupIters)).or(skip);
    const ratio = v
      .add(eps)
      .sqrt()
      .div(running_var.latest.add(eps).sqrt())
      .clamp({ min: 1 / 5, max: 5 });
    const r = where(early, 1, ratio);
    const inverse = v.add(eps).rsqrt();
    const z = x.mul(along(inverse));
    running_var.advance((old) => {
      const next = old.mul(m).add(v.mul(1 - m));
      return this.followOutliers ? next : where(skip, old, next);
    });
    return step.differentiable(
      [x, weight, bias],
      () => z.mul(along(weight)).add(along(bias)),
      (dy) => {
        const d = dy.mul(along(weight.mul(r)));
        const own = d.mul(z).mean(axes);
        const mean = this.smoothedGradient(own, step.t, skip);
        ema_gz.advance((old) => old.mul(m).add(mean.mul(1 - m)));
        const psi = where(skip, mean, ema_gz.latest);
        const dx = d.sub(z.mul(along(psi))).mul(along(inverse));
        return [dx, dy.mul(z).sum(axes).mul(r), dy.sum(axes)];
      },
    );
  }

  /** v [C], and whether this step is kept out of the smoothing, bool [1]. */
  private smoothed(q: Tensor, t: Tensor): { readonly v: Tensor; readonly skip: Tensor } {
    const { buffer_x2: buffer, warmupIters } = this;
    const size = buffer.dim(0);
    const recorded = unbiasedVariance(buffer.latest.sqrt());
    const row = rowOf(t, size);
    const window = where(row, q, buffer.latest);
    const rejected =
      this.outlierFiltration && size > 1
        ? gap(window).greater(recorded.mul(size)).and(t.greaterEqual(warmupIters))
        : full([1], 0, "bool");
    buffer.advance(() => where(row.and(rejected), this.running_var.latest, window));
    this.skip_counter.advance((count) => count.add(rejected.cast("int32")));
    const skip = size > 1 ? rejected : full([1], 1, "bool");
    const early = t.lessEqual(size).or(t.less(warmupIters)).or(skip);
    return { v: where(early, q, geometricMean(window)), skip };
  }

  /** μ [C]: the window's mean, or this step's own value while there is no window to trust. */
  private smoothedGradient(own: Tensor, t: Tensor, skip: Tensor): Tensor {
    const { buffer_gz: buffer, ema_gz, warmupIters } = this;
    const size = buffer.dim(0);
    const written = where(skip, ema_gz.latest, own);
    buffer.advance((old) => where(rowOf(t, size), written, old));
    const early = t.lessEqual(size).or(t.less(warmupIters)).or(skip);
    return where(early, own, buffer.latest.mean(0));
  }

  /** Start the warm-up again, as one should when fine-tuning a loaded checkpoint; the running statistics stay. */
  resetWarmup(): void {
    this.iters.set(NDArray.zeros([1], "int32"));
  }

  channelAffine(): Promise<Affine> {
    return momentAffine(this.weight, this.bias, this.running_var, this.eps);
  }
}

/** Bool [size, 1]: the row that step t writes. */
const rowOf = (t: Tensor, size: number): Tensor => t.mod(size).equal(arange(size, "float32").unsqueeze(1));

const geometricMean = (window: Tensor): Tensor => window.maximum(least).log().mean(0).exp();

/** The largest difference of arithmetic and geometric mean over channels. */
const gap = (window: Tensor): Tensor => window.mean(0).sub(geometricMean(window)).max();

/** One number over everything; 0 for a single value. */
const unbiasedVariance = (values: Tensor): Tensor =>
  values
    .sub(values.mean())
    .square()
    .sum()
    .div(Math.max(1, values.size - 1));

export const unifiedNorm = (channels: number, options?: UnifiedNormOptions): UnifiedNorm =>
  new UnifiedNorm(channels, options);

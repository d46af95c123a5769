/**
 * Region normalisation for images with holes: every channel is normalised with one mean and variance over the hole and
 * another over the valid pixels, so that what fills the hole does not shift the rest. With a region m of 0 and 1, N values of
 * a channel of which n = Σ m are inside:
 *
 *   μ_r = Σ x m / n,   σ²_r = Σ (x − μ_r)² m / n;    R(x, m) = m (x − μ_r) / √(σ²_r + ε N / n)
 *   RN(x, m) = R(x, m) + R(x, 1 − m)                 an empty region gives zeros, a full one plain batch norm
 *
 *   RN-B, m the mask of holes:   y = RN m (1 + γ_f) + β_f + RN (1 − m) (1 + γ_b) + β_b
 *   RN-L, m found by the layer:  s = σ(conv₁[mean_C x, max_C x]),  m = (s ≥ t);   y = RN (1 + conv_γ(s)) + conv_β(s)
 *
 * x: [B, C, H, W]. The mask of RN-B is the side input "region". Masks have no gradient, so conv₁ learns through γ and β
 * alone. No running statistics: training and inference are the same, and nothing folds into a convolution.
 *
 * Source: "Region Normalization for Image Inpainting", 2019. Its text has statistics of each sample and regional betas; its
 * code statistics of the batch and both betas everywhere. The code's are the defaults, the text's as we remember it.
 */
import { concat, fail, NDArray, type Tensor, Variable } from "../../tensor/index.js";
import { Conv2d } from "../convolution.js";
import { Module } from "../module.js";
import { holesOf } from "../region-mask.js";
import { sideInput } from "../side-inputs.js";
import { at } from "../where.js";
import { alongChannels, type ChannelAxis, checkChannels, checkWidth } from "./channels.js";
import { checkEpsilon } from "./epsilon.js";
import { Norm } from "./norm.js";

export interface RegionStatisticsOptions {
  /** ε (default 1e-5). */
  readonly eps?: number;
  /** Over the batch and all positions (default), or each sample alone. */
  readonly statistics?: "batch" | "instance";
}

export interface BasicRegionNormOptions extends RegionStatisticsOptions {
  /** β_f in the hole and β_b outside only, as the paper's formula; default false, both at every pixel as in its code. */
  readonly regionalBeta?: boolean;
}

export interface LearnableRegionNormOptions extends RegionStatisticsOptions {
  /** t, between 0 and 1 (default 0.8). */
  readonly threshold?: number;
  /** Of the three convolutions: 7 (default) or 3. */
  readonly kernelSize?: 3 | 7;
}

/** RN(x, m): x [B, C, H, W], m [B, 1, H, W] or [B, C, H, W] of 0 and 1. */
export function normalizeRegions(
  x: Tensor,
  m: Tensor,
  { eps = 1e-5, statistics = "batch" }: RegionStatisticsOptions = {},
): Tensor {
  const axes = statistics === "batch" ? [0, 2, 3] : [2, 3];
  const mean = (y: Tensor) => y.mean(axes, { keepDims: true });
  // (x − μ) / √(σ² + ε N / n) = √(n/N) (x − μ) / √(Σ (x − μ)² m / N + ε): finite for an empty region, too.
  const region = (m: Tensor): Tensor => {
    const share = mean(m); // n / N
    const mu = mean(x.mul(m)).div(share.add(share.equal(0).cast(x.dtype)));
    const inside = x.sub(mu).mul(m);
    return inside.mul(mean(inside.square()).add(eps).rsqrt().mul(share.sqrt()));
  };
  return region(m).add(region(m.mul(-1).add(1)));
}

abstract class RegionNormBase extends Norm {
  override readonly axis: ChannelAxis = 1;
  readonly eps: number;
  readonly statistics: "batch" | "instance";

  protected constructor(
    override readonly width: number,
    { eps = 1e-5, statistics = "batch" }: RegionStatisticsOptions,
  ) {
    super();
    checkWidth(this.constructor.name, width);
    if (statistics !== "batch" && statistics !== "instance")
      fail("argument", `${this.constructor.name}: expected statistics "batch" or "instance", got "${statistics}"`);
    this.eps = checkEpsilon(this.constructor.name, eps);
    this.statistics = statistics;
  }

  protected checkInput(x: Tensor): void {
    checkChannels(this.constructor.name, x, this.width, 1);
    if (x.rank !== 4) fail("shape", `${at(this.constructor.name)}: expected [batch, channels, height, width]`);
  }
}

/** RN-B. Parameters [C], all first 0, are named as in the authors' checkpoints. */
export class BasicRegionNorm extends RegionNormBase {
  readonly foreground_gamma: Variable;
  readonly foreground_beta: Variable;
  readonly background_gamma: Variable;
  readonly background_beta: Variable;
  readonly regionalBeta: boolean;

  constructor(width: number, { regionalBeta = false, ...options }: BasicRegionNormOptions = {}) {
    super(width, options);
    const zeros = () => new Variable(NDArray.zeros([width]));
    this.foreground_gamma = zeros();
    this.foreground_beta = zeros();
    this.background_gamma = zeros();
    this.background_beta = zeros();
    this.regionalBeta = regionalBeta;
  }

  /** Throws where the side input "region" is missing or does not fit x. */
  override forward(x: Tensor): Tensor {
    this.checkInput(x);
    const mask =
      sideInput("region") ??
      fail(
        "argument",
        `${at("BasicRegionNorm")}: expected the mask of holes; give it as withInputs({ region: mask }, () => model.apply(x))`,
      );
    const m = holesOf("BasicRegionNorm", mask, x);
    const valid = m.mul(-1).add(1);
    const along = (vector: Tensor) => alongChannels(vector, x, 1);
    const gain = m
      .mul(along(this.foreground_gamma))
      .add(valid.mul(along(this.background_gamma)))
      .add(1);
    const bias = this.regionalBeta
      ? m.mul(along(this.foreground_beta)).add(valid.mul(along(this.background_beta)))
      : along(this.foreground_beta.add(this.background_beta));
    return normalizeRegions(x, m, this).mul(gain).add(bias);
  }
}

/** What an RN-L layer makes of features, [B, 1, H, W] each. */
export interface FoundRegions {
  /** s. */
  readonly importance: Tensor;
  /** m. */
  readonly mask: Tensor;
  /** conv_γ(s) and conv_β(s). */
  readonly gamma: Tensor;
  readonly beta: Tensor;
}

/** The three convolutions of an RN-L layer. */
export class SelfAwareAffine extends Module<[Tensor], Omit<FoundRegions, "mask">> {
  readonly conv1: Conv2d;
  readonly gamma_conv: Conv2d;
  readonly beta_conv: Conv2d;

  constructor(kernelSize: number) {
    super();
    const padding = (kernelSize - 1) / 2;
    this.conv1 = new Conv2d(2, 1, kernelSize, { padding, bias: false });
    this.gamma_conv = new Conv2d(1, 1, kernelSize, { padding });
    this.beta_conv = new Conv2d(1, 1, kernelSize, { padding });
  }

  override forward(x: Tensor): Omit<FoundRegions, "mask"> {
    const pooled = concat([x.mean(1, { keepDims: true }), x.max(1, { keepDims: true })], 1);
    const importance = this.conv1.apply(pooled).sigmoid();
    return { importance, gamma: this.gamma_conv.apply(importance), beta: this.beta_conv.apply(importance) };
  }
}

/** RN-L: names as in the authors' checkpoints (`sa.conv1.weight`, …). */
export class LearnableRegionNorm extends RegionNormBase {
  readonly sa: SelfAwareAffine;
  readonly threshold: number;

  /** Throws for a threshold that is not between 0 and 1, and a kernel other than 3 or 7. */
  constructor(width: number, { threshold = 0.8, kernelSize = 7, ...options }: LearnableRegionNormOptions = {}) {
    super(width, options);
    if (!(threshold > 0 && threshold < 1))
      fail("argument", `LearnableRegionNorm: expected a threshold between 0 and 1, got ${threshold}`);
    if (kernelSize !== 3 && kernelSize !== 7)
      fail("argument", `LearnableRegionNorm: expected a kernel of 3 or 7, got ${kernelSize as number}`);
    this.sa = new SelfAwareAffine(kernelSize);
    this.threshold = threshold;
  }

  override forward(x: Tensor): Tensor {
    const { mask, gamma, beta } = this.regions(x);
    return normalizeRegions(x, mask, this).mul(gamma.add(1)).add(beta);
  }

  /** The region that the layer finds in x, and the importance that it is cut from. */
  regions(x: Tensor): FoundRegions {
    this.checkInput(x);
    return this.inside(() => {
      const found = this.sa.apply(x);
      return { ...found, mask: found.importance.greaterEqual(this.threshold).cast(x.dtype) };
    });
  }
}

export type RegionNormOptions =
  | ({ readonly kind?: "basic" } & BasicRegionNormOptions)
  | ({ readonly kind: "learnable" } & LearnableRegionNormOptions);

/** RN-B ("basic", default) or RN-L ("learnable"). Throws for channels that are not the second axis. */
export function regionNorm(
  width: number,
  { axis = 1, ...options }: RegionNormOptions & { readonly axis?: ChannelAxis } = {},
): BasicRegionNorm | LearnableRegionNorm {
  if (axis !== 1) fail("argument", "regionNorm: expected images with channels second (axis 1), got channels last");
  return options.kind === "learnable" ? new LearnableRegionNorm(width, options) : new BasicRegionNorm(width, options);
}

export interface RegionNormsOptions extends RegionStatisticsOptions {
  /** How many norms still see the hole where the mask has it, and are RN-B. */
  readonly firstN: number;
  /** Of the RN-L behind them. */
  readonly threshold?: number;
}

/**
 * RN-B for the first norms of a model, in order of declaration, and RN-L for the rest:
 * `swapNorms(model, regionNorms({ firstN: 3 }))` converts an inpainting network with batch or instance norms.
 */
export function regionNorms({ firstN, threshold = 0.8, ...options }: RegionNormsOptions) {
  if (!Number.isInteger(firstN) || firstN < 0)
    fail("argument", `regionNorms: expected firstN to be a whole number of at least 0, got ${firstN}`);
  return (width: number, axis: ChannelAxis = -1, place = 0): Norm =>
    place < firstN
      ? regionNorm(width, { kind: "basic", axis, ...options })
      : regionNorm(width, { kind: "learnable", axis, threshold, ...options });
}

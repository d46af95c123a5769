/**
 * Residual networks without norms: the variance of the signal is known from the construction instead of measured. Block ℓ with
 * expected input variance v:
 *
 *   h = φ(x) / √v;   y = shortcut + α s f(h)          shortcut = x, or a convolution of h where the shape changes
 *   v ← v + α², and 1 + α² behind a change of shape    s: learned, first 0 (SkipInit);   φ's gain is in the weights
 *
 * f is two 3 × 3 convolutions, or a bottleneck of 1 × 1, 3 × 3, 3 × 3, 1 × 1, all with scaled standardised weights, then
 * squeeze-and-excitation times 2. Train it with adaptive gradient clipping (`optim.adaptiveClipping`) where batches are large.
 * Sources: "Characterizing signal propagation to close the performance gap in unnormalized ResNets", 2021; "High-Performance
 * Large-Scale Image Recognition Without Normalization", 2021.
 */
import {
  activationGains,
  Conv2d,
  type ConvLayerOptions,
  kaiming,
  Linear,
  Module,
  ScaledWeightStandardization,
} from "../../nn/index.js";
import { fail, NDArray, type Tensor, Variable } from "../../tensor/index.js";
import { SqueezeExcitation } from "./residual-blocks.js";

/** Activations whose gain is known. */
const activations = {
  relu: (x: Tensor) => x.relu(),
  gelu: (x: Tensor) => x.gelu(),
  silu: (x: Tensor) => x.silu(),
} as const;

export interface NormFreeBlockOptions {
  readonly stride?: number;
  /** v, the expected variance of the input (default 1). */
  readonly variance?: number;
  /** α, how much a branch adds (default 0.2). */
  readonly alpha?: number;
  /** Default "relu". */
  readonly act?: keyof typeof activations;
  /** Reduction of the squeeze-and-excitation (default: none). */
  readonly squeeze?: number | undefined;
  /** 1 × 1, 3 × 3, 3 × 3, 1 × 1 at half of the width, with groups of so many channels (default: two 3 × 3). */
  readonly bottleneck?: { readonly groupWidth: number } | undefined;
}

/** A convolution with a bias and scaled standardised weights. */
function convolution(
  inputs: number,
  outputs: number,
  kernel: number,
  act: keyof typeof activations,
  options: ConvLayerOptions = {},
): Conv2d {
  const layer = new Conv2d(inputs, outputs, kernel, { padding: (kernel - 1) / 2, ...options });
  layer.parametrizations.push(new ScaledWeightStandardization(layer, { gamma: activationGains[act] }));
  layer.bias?.set(NDArray.zeros([outputs]));
  return layer;
}

export class NormFreeBlock extends Module {
  readonly convolutions: readonly Conv2d[];
  readonly downsample: Conv2d | undefined;
  readonly se: SqueezeExcitation | undefined;
  readonly skip_gain: Variable; // []
  readonly act: (x: Tensor) => Tensor;
  readonly alpha: number;
  readonly stride: number;
  /** √v */
  readonly deviation: number;

  constructor(inputs: number, outputs: number, options: NormFreeBlockOptions = {}) {
    super();
    const { stride = 1, variance = 1, alpha = 0.2, act = "relu", squeeze, bottleneck } = options;
    const conv = (i: number, o: number, k: number, more?: ConvLayerOptions) => convolution(i, o, k, act, more);
    if (bottleneck) {
      const width = outputs / 2;
      const groups = width / bottleneck.groupWidth;
      if (!Number.isInteger(groups))
        fail("argument", `NormFreeBlock: a group of ${bottleneck.groupWidth} channels does not divide ${width}`);
      this.convolutions = [
        conv(inputs, width, 1),
        conv(width, width, 3, { stride, groups }),
        conv(width, width, 3, { groups }),
        conv(width, outputs, 1),
      ];
    } else this.convolutions = [conv(inputs, outputs, 3, { stride }), conv(outputs, outputs, 3)];
    this.downsample = stride !== 1 || inputs !== outputs ? conv(inputs, outputs, 1) : undefined;
    this.se = squeeze === undefined ? undefined : new SqueezeExcitation(outputs, squeeze);
    this.skip_gain = new Variable(NDArray.zeros([]));
    this.act = activations[act];
    [this.alpha, this.stride, this.deviation] = [alpha, stride, Math.sqrt(variance)];
  }

  override forward(x: Tensor): Tensor {
    const h = this.act(x).div(this.deviation);
    const pooled = this.stride > 1 ? h.averagePool2d({ kernel: this.stride, stride: this.stride }) : h;
    const shortcut = this.downsample ? this.downsample.apply(pooled) : x;
    const [first, ...rest] = this.convolutions as [Conv2d, ...Conv2d[]];
    const branch = rest.reduce((y, layer) => layer.apply(this.act(y)), first.apply(h));
    const weighed = this.se ? this.se.apply(branch).mul(2) : branch;
    return shortcut.add(weighed.mul(this.skip_gain.mul(this.alpha)));
  }
}

export interface NFNetOptions extends Pick<NormFreeBlockOptions, "alpha" | "act" | "squeeze" | "bottleneck"> {
  /** Blocks of every stage (default [1, 1, 1]). */
  readonly blocks?: readonly number[];
  /** Channels of every stage (default [16, 32, 64]); all but the first halve the sides. */
  readonly widths?: readonly number[];
  readonly classes?: number;
  /** Channels of the image (default 3). */
  readonly inputs?: number;
  /** One 3 × 3 convolution ("small", default), or four down to a quarter of the side, as NFNet-F. */
  readonly stem?: "small" | "large";
  readonly seed?: number;
}

/** [batch, channels, height, width] → [batch, classes], without a single norm. */
export class NFNet extends Module {
  readonly stem: readonly Conv2d[];
  readonly blocks: readonly NormFreeBlock[];
  readonly fc: Linear;
  readonly act: (x: Tensor) => Tensor;
  /** What variance each block expects, and what comes out last. */
  readonly variances: readonly number[];

  constructor(options: NFNetOptions = {}) {
    super();
    const { blocks = [1, 1, 1], widths = [16, 32, 64], classes = 10, inputs = 3, act = "relu", seed = 0 } = options;
    const { alpha = 0.2, squeeze, bottleneck, stem = "small" } = options;
    if (blocks.length !== widths.length || blocks.length === 0)
      fail(
        "argument",
        `nfNet: ${blocks.length} stages of blocks and ${widths.length} widths; expected as many, at least one`,
      );
    const first = widths[0] as number;
    this.stem =
      stem === "small"
        ? [convolution(inputs, first, 3, act)]
        : [inputs, first / 8, first / 4, first / 2].map((n, i) =>
            convolution(n, i === 3 ? first : (first / 8) * 2 ** i, 3, act, i === 0 || i === 3 ? { stride: 2 } : {}),
          );
    const made: NormFreeBlock[] = [];
    const variances: number[] = [];
    let [width, variance] = [first, 1];
    for (const [s, count] of blocks.entries())
      for (let i = 0; i < count; i++) {
        const stride = s > 0 && i === 0 ? 2 : 1;
        const next = widths[s] as number;
        variances.push(variance);
        made.push(new NormFreeBlock(width, next, { stride, variance, alpha, act, squeeze, bottleneck }));
        // A shortcut with a convolution starts from h, whose variance is 1.
        variance = (stride > 1 || width !== next ? 1 : variance) + alpha ** 2;
        width = next;
      }
    this.blocks = made;
    this.variances = [...variances, variance];
    this.fc = new Linear(width, classes);
    this.act = activations[act];
    kaiming(this, { query: "**", mode: "fanIn", seed });
  }

  override forward(x: Tensor): Tensor {
    return this.fc.apply(this.act(this.features(x)).mean([2, 3]));
  }

  /** The last feature maps, before their activation. */
  features(x: Tensor): Tensor {
    const [first, ...rest] = this.stem as [Conv2d, ...Conv2d[]];
    const started = rest.reduce((y, layer) => layer.apply(this.act(y)), first.apply(x));
    return this.blocks.reduce((y, block) => block.apply(y), started);
  }
}

export const nfNet = (options?: NFNetOptions): NFNet => new NFNet(options);

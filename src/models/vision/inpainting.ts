/**
 * Filling holes in images: a generator with region norms and a discriminator of patches, with the names of the authors'
 * checkpoints.
 *
 *   input  gt (1 − M) + M
 *   encoder: conv7 3→w, conv4 (stride 2) w→2w, conv4 (stride 2) 2w→4w, each RN-B – ReLU
 *   middle:  x + [conv3 (dilation 2) – RN-L – ReLU – conv3 – RN-L](x), several times
 *   decoder: conv3 4w→8w – shuffle – RN-L – ReLU, conv3 2w→4w – shuffle – RN-L – ReLU, conv7 w→3;  (tanh + 1) / 2
 *
 * Convolutions of 7 and those in the middle reflect at the border. Weights start at N(0, 0.1² · 2 / fan-in), as the authors'
 * do; biases at 0, not at theirs, which are N(0.0001, 1) by a mistake.
 *
 * Source: "Region Normalization for Image Inpainting", 2019.
 */
import {
  activates,
  BasicRegionNorm,
  bare,
  Conv2d,
  holesOf,
  kaiming,
  LeakyReLU,
  LearnableRegionNorm,
  Module,
  PixelShuffle,
  ReflectionPad2d,
  ReLU,
  Sequential,
  spectralNorm,
  uninitialized,
  withInputs,
} from "../../nn/index.js";
import { fail, formatShape, NDArray, type Tensor } from "../../tensor/index.js";
import { normAct } from "./residual-blocks.js";

export interface InpaintGeneratorOptions {
  /** w (default 64). */
  readonly width?: number;
  /** Residual blocks in the middle (default 8). */
  readonly blocks?: number;
  /** Channels of the image (default 3). */
  readonly inputs?: number;
  /** Of the RN-L in the middle (default 0.8), and in the decoder (default 0.8, whatever the middle has). */
  readonly threshold?: number;
  readonly decoderThreshold?: number;
  /** ε of all norms (default 1e-5). */
  readonly eps?: number;
  readonly seed?: number;
}

/** Layers in a row, without the ReLU behind a norm that has an activation of its own. */
class Stack extends Sequential {
  override forward(x: Tensor): Tensor {
    const { layers } = this;
    return layers.reduce(
      (y, layer, i) => ((layer as unknown) instanceof ReLU && activates(layers[i - 1]) ? y : layer.apply(y)),
      x,
    );
  }
}

type LearnableNorm = (width: number) => LearnableRegionNorm;

export class InpaintBlock extends Module {
  readonly conv_block: Sequential;

  constructor(width: number, norm: LearnableNorm) {
    super();
    this.conv_block = new Stack(
      new ReflectionPad2d(2),
      new Conv2d(width, width, 3, { dilation: 2 }),
      norm(width),
      new ReLU(),
      new ReflectionPad2d(1),
      new Conv2d(width, width, 3),
      bare(norm(width)),
    );
  }

  override forward(x: Tensor): Tensor {
    return x.add(this.conv_block.apply(x));
  }
}

export class InpaintGenerator extends Module<[Tensor, Tensor]> {
  readonly encoder_prePad = new ReflectionPad2d(3);
  readonly encoder_conv1: Conv2d;
  readonly encoder_in1: Module;
  readonly encoder_conv2: Conv2d;
  readonly encoder_in2: Module;
  readonly encoder_conv3: Conv2d;
  readonly encoder_in3: Module;
  readonly middle: Sequential;
  readonly decoder: Sequential;

  constructor(options: InpaintGeneratorOptions = {}) {
    super();
    const { width: w = 64, blocks = 8, inputs = 3, threshold = 0.8, decoderThreshold = 0.8, seed = 0 } = options;
    const { eps = 1e-5 } = options;
    if (!Number.isInteger(blocks) || blocks < 1)
      fail("argument", `inpaintGenerator: expected a whole number of blocks from 1, got ${blocks}`);
    this.encoder_conv1 = new Conv2d(inputs, w, 7);
    this.encoder_in1 = new BasicRegionNorm(w, { eps });
    this.encoder_conv2 = new Conv2d(w, 2 * w, 4, { stride: 2, padding: 1 });
    this.encoder_in2 = new BasicRegionNorm(2 * w, { eps });
    this.encoder_conv3 = new Conv2d(2 * w, 4 * w, 4, { stride: 2, padding: 1 });
    this.encoder_in3 = new BasicRegionNorm(4 * w, { eps });
    const middleNorm: LearnableNorm = (width) => new LearnableRegionNorm(width, { threshold, eps });
    this.middle = new Sequential(...Array.from({ length: blocks }, () => new InpaintBlock(4 * w, middleNorm)));
    const norm: LearnableNorm = (width) => new LearnableRegionNorm(width, { threshold: decoderThreshold, eps });
    this.decoder = new Stack(
      ...[new Conv2d(4 * w, 8 * w, 3, { padding: 1 }), new PixelShuffle(2), norm(2 * w), new ReLU()],
      ...[new Conv2d(2 * w, 4 * w, 3, { padding: 1 }), new PixelShuffle(2), norm(w), new ReLU()],
      ...[new ReflectionPad2d(3), new Conv2d(w, inputs, 7)],
    );
    initializeConvolutions(this, seed);
  }

  /**
   * gt [B, C, H, W] in [0, 1] and mask [B, 1, H, W] with 1 in the hole, to a whole image; what gt has in the hole is not seen.
   * Throws for sides that are no multiples of 4, or too small to be reflected.
   */
  override forward(gt: Tensor, mask: Tensor): Tensor {
    if (gt.rank !== 4 || gt.dim(2) % 4 !== 0 || gt.dim(3) % 4 !== 0)
      fail(
        "shape",
        `inpaintGenerator: expected [batch, channels, height, width] with sides that are multiples of 4, got ${formatShape(gt.shape)}; pad or crop the image`,
      );
    if (mask.rank !== 4 || mask.dim(2) !== gt.dim(2) || mask.dim(3) !== gt.dim(3))
      fail(
        "shape",
        `inpaintGenerator: expected a mask of the image's size ${formatShape(gt.shape.slice(2))}, got ${formatShape(mask.shape)}`,
      );
    const M = holesOf("inpaintGenerator", mask, gt);
    return withInputs({ region: M }, () => {
      const x = gt.mul(M.mul(-1).add(1)).add(M);
      const y = this.decoder.apply(this.middle.apply(this.encoder(x)));
      return y.tanh().add(1).mul(0.5);
    });
  }

  private encoder(x: Tensor): Tensor {
    const relu = (y: Tensor) => y.relu();
    const first = normAct(this.encoder_in1, this.encoder_conv1.apply(this.encoder_prePad.apply(x)), relu);
    const second = normAct(this.encoder_in2, this.encoder_conv2.apply(first), relu);
    return normAct(this.encoder_in3, this.encoder_conv3.apply(second), relu);
  }
}

export const inpaintGenerator = (options?: InpaintGeneratorOptions): InpaintGenerator =>
  uninitialized(() => new InpaintGenerator(options));

export interface PatchDiscriminatorOptions {
  /** Of the first convolution (default 64). */
  readonly width?: number;
  readonly inputs?: number;
  readonly seed?: number;
}

/**
 * Which patches of an image are real: five convolutions of 4 × 4 with spectral norm and no bias, LeakyReLU 0.2 between.
 * Checkpoints of the authors load through `plainWeightNames`.
 */
export class PatchDiscriminator extends Module {
  readonly conv1: Sequential;
  readonly conv2: Sequential;
  readonly conv3: Sequential;
  readonly conv4: Sequential;
  readonly conv5: Sequential;

  constructor({ width: w = 64, inputs = 3, seed = 0 }: PatchDiscriminatorOptions = {}) {
    super();
    const conv = (from: number, to: number, stride: number) =>
      new Conv2d(from, to, 4, { stride, padding: 1, bias: false });
    this.conv1 = new Sequential(conv(inputs, w, 2), new LeakyReLU(0.2));
    this.conv2 = new Sequential(conv(w, 2 * w, 2), new LeakyReLU(0.2));
    this.conv3 = new Sequential(conv(2 * w, 4 * w, 2), new LeakyReLU(0.2));
    this.conv4 = new Sequential(conv(4 * w, 8 * w, 1), new LeakyReLU(0.2));
    this.conv5 = new Sequential(conv(8 * w, 1, 1));
    initializeConvolutions(this, seed);
    spectralNorm(this, { seed });
  }

  /** [B, C, H, W] → the probability of being real of every patch, [B, 1, H/8 − 2, W/8 − 2]; sides from 24. */
  override forward(x: Tensor): Tensor {
    return this.logits(x).sigmoid();
  }

  /** Before the sigmoid, for losses. */
  logits(x: Tensor): Tensor {
    if (x.rank !== 4 || Math.min(x.dim(2), x.dim(3)) < 24)
      fail(
        "shape",
        `patchDiscriminator: expected [batch, channels, height, width] with sides from 24, got ${formatShape(x.shape)}`,
      );
    return this.inside(() =>
      [this.conv1, this.conv2, this.conv3, this.conv4, this.conv5].reduce((y, layer) => layer.apply(y), x),
    );
  }
}

export const patchDiscriminator = (options?: PatchDiscriminatorOptions): PatchDiscriminator =>
  uninitialized(() => new PatchDiscriminator(options));

function initializeConvolutions(model: Module<never>, seed: number): void {
  kaiming(model, { mode: "fanIn", gain: 0.1, seed });
  for (const [path, variable] of model.namedVariables())
    if (path.endsWith("bias")) variable.set(NDArray.zeros(variable.shape));
}

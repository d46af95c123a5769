/**
 * RMSNorm: LayerNorm without the mean, over the last axis.
 *
 *   y = g · x / √(mean(x²) + ε)          ε = 1e-6; the mean is taken in float32 also for float16
 *
 * Gemma stores w with g = 1 + w: `gainOffset: 1` reads such weights as they are. A bias is for models that were
 * LayerNorm ones (Pre-RMSNorm and Pre-CRMSNorm Transformers, 2023).
 *
 * Source: "Root Mean Square Layer Normalization", 2019.
 */
import { fail, formatShape, NDArray, type Tensor, Variable } from "../../tensor/index.js";
import { filled } from "../initial.js";
import { at } from "../where.js";
import { type ChannelAxis, overChannels } from "./channels.js";
import { checkEpsilon } from "./epsilon.js";
import { Norm } from "./norm.js";

export interface RMSNormOptions {
  /** ε, added to the mean square (default 1e-6). */
  readonly eps?: number;
  /** Learn a gain g, first 1 (default true). */
  readonly affine?: boolean;
  /** Add a learned bias, first 0 (default false). */
  readonly bias?: boolean;
  /** g = gainOffset + weight (default 0). */
  readonly gainOffset?: number;
  /** Where the channels are (default −1). */
  readonly axis?: ChannelAxis;
}

export class RMSNorm extends Norm {
  readonly eps: number;
  readonly gainOffset: number;
  override readonly axis: ChannelAxis;
  readonly weight: Variable | undefined; // [width]
  readonly bias: Variable | undefined; // [width]

  constructor(
    override readonly width: number,
    { eps = 1e-6, affine = true, bias = false, gainOffset = 0, axis = -1 }: RMSNormOptions = {},
  ) {
    super();
    if (!Number.isInteger(width) || width < 1) fail("shape", `RMSNorm: expected a positive whole width, got ${width}`);
    if (gainOffset !== 0 && !affine) fail("argument", "RMSNorm: gainOffset needs a gain; leave affine: false out");
    this.eps = checkEpsilon("RMSNorm", eps);
    this.gainOffset = gainOffset;
    this.axis = axis;
    this.weight = affine ? new Variable(filled([width], 1 - gainOffset)) : undefined;
    this.bias = bias ? new Variable(NDArray.zeros([width])) : undefined;
  }

  override forward(x: Tensor): Tensor {
    return overChannels(x, this.axis, (channelsLast) => this.normalize(channelsLast));
  }

  private normalize(x: Tensor): Tensor {
    if (x.rank === 0 || x.dim(-1) !== this.width)
      fail(
        "shape",
        `${at("RMSNorm")}: expected last axis ${this.width}, got ${formatShape(x.shape)}; was the model built with width ${this.width}?`,
      );
    const gain = this.gainOffset === 0 ? this.weight : this.weight?.add(this.gainOffset);
    const y = x.rmsNorm({ weight: gain, eps: this.eps });
    return this.bias ? y.add(this.bias) : y;
  }
}

export const rmsNorm = (width: number, options?: RMSNormOptions): RMSNorm => new RMSNorm(width, options);

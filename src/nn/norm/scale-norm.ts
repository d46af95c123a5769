/**
 * ScaleNorm: a vector on a sphere of one learned radius, y = g x / max(‖x‖, ε), g first √width.
 * Source: "Transformers without Tears: Improving the Normalization of Self-Attention", 2019.
 */
import { type Tensor, Variable } from "../../tensor/index.js";
import { filled } from "../initial.js";
import { type ChannelAxis, checkChannels, checkWidth } from "./channels.js";
import { checkEpsilon } from "./epsilon.js";
import { Norm } from "./norm.js";

export interface ScaleNormOptions {
  readonly eps?: number;
  readonly axis?: ChannelAxis;
}

export class ScaleNorm extends Norm {
  readonly weight: Variable; // [1]
  readonly eps: number;
  override readonly axis: ChannelAxis;

  constructor(
    override readonly width: number,
    { eps = 1e-5, axis = -1 }: ScaleNormOptions = {},
  ) {
    super();
    checkWidth("ScaleNorm", width);
    this.eps = checkEpsilon("ScaleNorm", eps);
    this.axis = axis;
    this.weight = new Variable(filled([1], Math.sqrt(width)));
  }

  override forward(x: Tensor): Tensor {
    checkChannels("ScaleNorm", x, this.width, this.axis);
    const axis = this.axis === -1 ? x.rank - 1 : 1;
    // max(‖x‖, ε) with the maximum inside the root, where a zero vector has a gradient.
    const length = x
      .square()
      .sum(axis, { keepDims: true })
      .maximum(this.eps ** 2)
      .sqrt();
    return x.mul(this.weight.reshape(Array.from({ length: x.rank }, () => 1)).div(length));
  }
}

export const scaleNorm = (width: number, options?: ScaleNormOptions): ScaleNorm => new ScaleNorm(width, options);

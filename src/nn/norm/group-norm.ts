/**
 * Group normalisation: the channels of a sample in G groups, each with its own mean and variance over its channels and all
 * positions, the same in training and inference:
 *
 *   y = g_c (x − μ_group) / √(σ²_group + ε) + b_c          x: [batch, C, …], or [batch, …, C] with axis −1
 *
 * G = C is instance normalisation, G = 1 a layer norm over channels and positions.
 * Sources: "Group Normalization", 2018; "Instance Normalization: The Missing Ingredient for Fast Stylization", 2016.
 */
import { fail, NDArray, type Tensor, Variable } from "../../tensor/index.js";
import { filled } from "../initial.js";
import { type ChannelAxis, checkChannels, checkWidth, moveChannels } from "./channels.js";
import { checkEpsilon } from "./epsilon.js";
import { Norm } from "./norm.js";

export interface GroupNormOptions {
  readonly eps?: number;
  readonly affine?: boolean;
  readonly axis?: ChannelAxis;
}

export class GroupNorm extends Norm {
  readonly weight: Variable | undefined; // [C]
  readonly bias: Variable | undefined; // [C]
  readonly eps: number;
  override readonly axis: ChannelAxis;

  /** Throws where the groups do not divide the channels. */
  constructor(
    readonly groups: number,
    override readonly width: number,
    { eps = 1e-5, affine = true, axis = 1 }: GroupNormOptions = {},
  ) {
    super();
    checkWidth("GroupNorm", width);
    if (!Number.isInteger(groups) || groups < 1 || width % groups !== 0)
      fail("argument", `GroupNorm: ${groups} groups do not divide ${width} channels; choose a divisor`);
    this.weight = affine ? new Variable(filled([width], 1)) : undefined;
    this.bias = affine ? new Variable(NDArray.zeros([width])) : undefined;
    this.eps = checkEpsilon("GroupNorm", eps);
    this.axis = axis;
  }

  override forward(x: Tensor): Tensor {
    checkChannels("GroupNorm", x, this.width, this.axis);
    if (this.axis === 1 || x.rank === 2) return this.normalize(x);
    return moveChannels(this.normalize(moveChannels(x, "first")), "last");
  }

  /** x: [batch, C, …]. */
  private normalize(x: Tensor): Tensor {
    const { groups, width, weight, bias, eps } = this;
    const flat = x.reshape([x.dim(0), groups, x.size / (x.dim(0) * groups)]);
    const y = flat.dim(2) === 1 ? flat.mul(0) : flat.layerNorm({ axes: 1, eps });
    const shape = [1, width, ...Array.from({ length: x.rank - 2 }, () => 1)];
    const scaled = weight ? y.reshape(x.shape).mul(weight.reshape(shape)) : y.reshape(x.shape);
    return bias ? scaled.add(bias.reshape(shape)) : scaled;
  }
}

export const groupNorm = (groups: number, channels: number, options?: GroupNormOptions): GroupNorm =>
  new GroupNorm(groups, channels, options);

export interface InstanceNormOptions extends GroupNormOptions {
  /** Learn a gain and a bias (default false, as torch). */
  readonly affine?: boolean;
}

/** Every channel of every sample by itself. */
export const instanceNorm = (channels: number, { affine = false, ...options }: InstanceNormOptions = {}): GroupNorm =>
  new GroupNorm(channels, channels, { affine, ...options });

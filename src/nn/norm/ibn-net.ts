/**
 * IBN: of C channels, h = ⌊C q⌋ are instance-normalised, which removes an image's own contrast and tint, and the rest are
 * batch-normalised, which keeps what tells classes apart:
 *
 *   y = [IN(x[:, :h]), BN(x[:, h:])]        order "bn-first" (DenseNets): y = [BN(x[:, :h]), IN(x[:, h:])]
 *
 * Both with a gain and a bias per channel, ε = 1e-5, momentum 0.1. Sub-modules are named as in the authors' checkpoints.
 * Source: "Two at Once: Enhancing Learning and Generalization Capacities via IBN-Net", 2018.
 */
import { concat, fail, type Tensor } from "../../tensor/index.js";
import { BatchNorm } from "./batch-norm.js";
import { type ChannelAxis, checkChannels, checkWidth } from "./channels.js";
import { type GroupNorm, instanceNorm } from "./group-norm.js";
import { Norm } from "./norm.js";

export interface IBNOptions {
  /** q, the share of the channels that come first (default 0.5). */
  readonly ratio?: number;
  /** Whose channels come first (default "in-first"); checkpoints depend on it. */
  readonly order?: "in-first" | "bn-first";
  readonly eps?: number;
  readonly momentum?: number;
  readonly axis?: ChannelAxis;
}

export class IBN extends Norm {
  readonly IN: GroupNorm;
  readonly BN: BatchNorm;
  readonly order: "in-first" | "bn-first";
  readonly first: number;
  override readonly axis: ChannelAxis;

  /** Throws for a ratio that leaves one of the two halves without channels. */
  constructor(
    override readonly width: number,
    { ratio = 0.5, order = "in-first", eps = 1e-5, momentum = 0.1, axis = 1 }: IBNOptions = {},
  ) {
    super();
    checkWidth("IBN", width);
    // 10 · 0.6 is 6.000000000000001 or 5.999…: a channel must not depend on it.
    const first = Math.floor(width * ratio + 1e-9);
    if (!(first > 0 && first < width))
      fail(
        "argument",
        `IBN: a ratio of ${ratio} puts ${Number.isFinite(first) ? first : "no whole number"} of ${width} channels first; use "batch" or "instance" where one half is empty`,
      );
    const [forIN, forBN] = order === "in-first" ? [first, width - first] : [width - first, first];
    this.IN = instanceNorm(forIN, { affine: true, eps, axis });
    this.BN = new BatchNorm(forBN, { eps, momentum, axis });
    this.order = order;
    this.first = first;
    this.axis = axis;
  }

  override forward(x: Tensor): Tensor {
    checkChannels("IBN", x, this.width, this.axis);
    const axis = this.axis === 1 ? 1 : x.rank - 1;
    const [head, tail] = x.split([this.first, this.width - this.first], axis) as [Tensor, Tensor];
    return this.order === "in-first"
      ? concat([this.IN.apply(head), this.BN.apply(tail)], axis)
      : concat([this.BN.apply(head), this.IN.apply(tail)], axis);
  }
}

export const ibn = (width: number, options?: IBNOptions): IBN => new IBN(width, options);

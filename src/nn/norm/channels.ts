/** What norms with one number per channel share: where the channels are, and how [C] meets the input. */
import { fail, formatShape, type Tensor } from "../../tensor/index.js";
import { sideInput } from "../side-inputs.js";
import { at } from "../where.js";

/** Channels last, as in text ([batch, tokens, width]), or second, as in images ([batch, channels, height, width]). */
export type ChannelAxis = -1 | 1;

/** Throws where the channels of x are not as many. */
export function checkChannels(name: string, x: Tensor, channels: number, axis: ChannelAxis): void {
  if (x.rank < 2 || x.dim(axis) !== channels)
    fail(
      "shape",
      `${at(name)}: expected ${axis === 1 ? `[batch, ${channels}, …]` : `[…, ${channels}]`}, got ${formatShape(x.shape)}`,
    );
}

export function checkWidth(name: string, channels: number): number {
  return Number.isInteger(channels) && channels >= 1
    ? channels
    : fail("shape", `${name}: expected a positive whole number of channels, got ${channels}`);
}

/** All axes but that of the channels. */
export const otherAxes = (x: Tensor, axis: ChannelAxis): number[] =>
  Array.from({ length: x.rank }, (_, i) => i).filter((i) => i !== (axis === 1 ? 1 : x.rank - 1));

/** A vector [C] in a shape that broadcasts over x. */
export const alongChannels = (vector: Tensor, x: Tensor, axis: ChannelAxis): Tensor =>
  axis === -1 ? vector : vector.reshape([1, vector.size, ...Array.from({ length: x.rank - 2 }, () => 1)]);

/** [batch, …, C] to [batch, C, …], or back. */
export function moveChannels(x: Tensor, to: "first" | "last"): Tensor {
  const middle = Array.from({ length: x.rank - 2 }, (_, i) => i + 1);
  return x.transpose(to === "first" ? [0, x.rank - 1, ...middle] : [0, ...middle.map((i) => i + 1), 1]);
}

/** f over the last axis of an input whose channels are at `axis`. */
export const overChannels = (x: Tensor, axis: ChannelAxis, f: (x: Tensor) => Tensor): Tensor =>
  axis === -1 || x.rank < 3 ? f(x) : moveChannels(f(moveChannels(x, "last")), "first");

/** The other axes of x as the side input "padding" [batch, tokens] has them: 1 where real, in x's dtype, broadcasting. */
export function realPositions(x: Tensor, padding: Tensor, axis: ChannelAxis): Tensor {
  const tokens = axis === -1 ? x.rank - 2 : 2;
  if (x.rank !== 3 || padding.rank !== 2 || padding.dim(0) !== x.dim(0) || padding.dim(1) !== x.dim(tokens))
    fail(
      "shape",
      `${at("padding")}: expected bool [batch, tokens] for an input ${formatShape(x.shape)}, got ${padding.dtype}${formatShape(padding.shape)}`,
    );
  return padding.cast(x.dtype).unsqueeze(axis === -1 ? 2 : 1);
}

/** mean(x²) per channel [C], over real positions where there is padding. */
export function meanSquare(x: Tensor, axis: ChannelAxis): Tensor {
  const axes = otherAxes(x, axis);
  const padding = sideInput("padding");
  if (!padding || x.rank !== 3) return x.square().mean(axes);
  const real = realPositions(x, padding, axis);
  return x.square().mul(real).sum(axes).div(real.sum());
}

import { fail } from "../../tensor/errors.js";

/** One image: planes of float32, [channels, height, width], 0 black and 1 full (normalised images leave that range). */
export interface Picture {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  readonly data: Float32Array;
}

/** A picture of the same size, every value a function of (value, channel, row, column). */
export function mapPicture(
  { channels, height, width, data }: Picture,
  value: (x: number, channel: number, row: number, column: number) => number,
): Picture {
  const result = new Float32Array(data.length);
  let i = 0;
  for (let c = 0; c < channels; c++)
    for (let y = 0; y < height; y++) for (let x = 0; x < width; x++, i++) result[i] = value(data[i] as number, c, y, x);
  return { channels, height, width, data: result };
}

/** A picture of another size, every value a function of (channel, row, column). */
export const drawPicture = (
  channels: number,
  height: number,
  width: number,
  value: (channel: number, row: number, column: number) => number,
): Picture =>
  mapPicture({ channels, height, width, data: new Float32Array(channels * height * width) }, (_, c, y, x) =>
    value(c, y, x),
  );

export const clip = (value: number, low = 0, high = 1): number => Math.min(high, Math.max(low, value));

/** How far a reader may go over the border: the edge's value, or mirrored with (symmetric) or without the edge twice. */
export type Border = "edge" | "symmetric" | "mirror";

/** The row or column that stands for `i` of `length`. */
export function within(i: number, length: number, border: Border): number {
  if (i >= 0 && i < length) return i;
  if (border === "edge" || length === 1) return clip(i, 0, length - 1);
  const period = border === "mirror" ? 2 * length - 2 : 2 * length;
  const place = ((i % period) + period) % period;
  return place < length ? place : period - place - (border === "mirror" ? 0 : 1);
}

/** The value at (row, column), fractions between the four around it, weighted bilinearly. */
export function bilinear(picture: Picture, channel: number, row: number, column: number, border: Border): number {
  const { height, width, data } = picture;
  const [y, x] = [Math.floor(row), Math.floor(column)];
  const [fy, fx] = [row - y, column - x];
  const at = (r: number, c: number): number =>
    data[(channel * height + within(r, height, border)) * width + within(c, width, border)] as number;
  const top = at(y, x) * (1 - fx) + (fx && at(y, x + 1) * fx);
  return fy === 0 ? top : top * (1 - fy) + (at(y + 1, x) * (1 - fx) + (fx && at(y + 1, x + 1) * fx)) * fy;
}

/** Bytes of pixels, channels last, as decoders give them; the first `channels` of each pixel's `stride` are taken. */
export function pictureOfPixels(
  pixels: ArrayLike<number>,
  size: { readonly height: number; readonly width: number; readonly channels: number; readonly stride?: number },
  full = 255,
): Picture {
  const { height, width, channels, stride = channels } = size;
  return drawPicture(channels, height, width, (c, y, x) => (pixels[(y * width + x) * stride + c] as number) / full);
}

/** Values as bytes, planes first: rounded, what is outside [0, 1] clipped. */
export const pictureBytes = ({ data }: Picture): Uint8Array => Uint8Array.from(data, (x) => Math.round(clip(x) * 255));

/** @throws LayerwiseError "shape" unless both have the same channels, height and width. */
export function sameSize(a: Picture, b: Picture, where: string): void {
  if (a.channels !== b.channels || a.height !== b.height || a.width !== b.width)
    fail("shape", `${where}: pictures of ${sizeText(a)} and ${sizeText(b)}; expected one size`);
}

/** "3x32x32". */
export const sizeText = ({ channels, height, width }: Picture): string => `${channels}x${height}x${width}`;

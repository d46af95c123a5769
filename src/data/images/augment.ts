import { fail } from "../../tensor/errors.js";
import { type CorruptionName, corrupt, type Severity } from "./corruptions.js";
import { type DrawKey, Draws } from "./draws.js";
import { jitterColors } from "./jitter.js";
import { drawPicture, mapPicture, type Picture, sizeText, within } from "./picture.js";
import { type ShiftName, shiftDomain } from "./shifts.js";

/**
 * What is done to a picture, as data: it travels to workers as it is. Names and defaults are torchvision's. Each
 * transform of a list draws its own numbers, from (seed, epoch, index, place in the list).
 */
export type Transform =
  | { readonly name: "resize"; readonly size: Size }
  | { readonly name: "centerCrop"; readonly size: Size }
  /** A place drawn in the picture with a border of `padding` around it. */
  | {
      readonly name: "randomCrop";
      readonly size: Size;
      readonly padding?: number;
      readonly border?: "zero" | "reflect";
    }
  /** A part of `scale` (default 0.08 to 1) of the area, sides in `ratio` (3/4 to 4/3), resized to `size`. */
  | { readonly name: "resizedCrop"; readonly size: Size; readonly scale?: Range; readonly ratio?: Range }
  | { readonly name: "horizontalFlip"; readonly probability?: number }
  /** Factors from [1 − x, 1 + x], hue turned by up to `hue` (0 to 0.5) of a circle, in random order. */
  | ({ readonly name: "colorJitter" } & ColorJitter)
  /** A rectangle of `scale` (0.02 to 0.33) of the area set to `value` (0), or to normal noise. */
  | {
      readonly name: "randomErasing";
      readonly probability?: number;
      readonly scale?: Range;
      readonly ratio?: Range;
      readonly value?: number | "random";
    }
  | { readonly name: "corrupt"; readonly corruption: CorruptionName; readonly severity: Severity }
  | { readonly name: "shift"; readonly shift: ShiftName }
  /** (x − mean) / std per channel; default the dataset's. */
  | { readonly name: "normalize"; readonly mean?: readonly number[]; readonly std?: readonly number[] };

export type Size = number | readonly [height: number, width: number];
export type Range = readonly [low: number, high: number];
export interface ColorJitter {
  readonly brightness?: number;
  readonly contrast?: number;
  readonly saturation?: number;
  readonly hue?: number;
}

export interface Normalization {
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/** The picture after every transform in turn. Throws LayerwiseError "argument" or "shape" naming the transform. */
export function applyTransforms(
  picture: Picture,
  transforms: readonly Transform[],
  key: DrawKey,
  defaults: Normalization,
): Picture {
  return transforms.reduce(
    (image, transform, place) => one(image, transform, new Draws(key, `images.${place}.${transform.name}`), defaults),
    picture,
  );
}

function one(image: Picture, transform: Transform, draws: Draws, defaults: Normalization): Picture {
  switch (transform.name) {
    case "resize":
      return resize(image, [0, 0, image.height, image.width], sides(transform.size));
    case "centerCrop": {
      const [height, width] = sides(transform.size);
      return crop(image, Math.round((image.height - height) / 2), Math.round((image.width - width) / 2), height, width);
    }
    case "randomCrop":
      return randomCrop(image, transform, draws);
    case "resizedCrop": {
      const { scale = [0.08, 1], ratio = [3 / 4, 4 / 3] } = transform;
      return resize(image, box(image, scale, ratio, draws) ?? centralBox(image, ratio), sides(transform.size));
    }
    case "horizontalFlip":
      return draws.uniform() < (transform.probability ?? 0.5) ? flipHorizontally(image) : image;
    case "colorJitter":
      return jitterColors(image, transform, draws);
    case "randomErasing":
      return erase(image, transform, draws);
    case "corrupt":
      return corrupt(image, transform.corruption, transform.severity, draws);
    case "shift":
      return shiftDomain(image, transform.shift, draws);
    case "normalize":
      return normalize(image, { mean: transform.mean ?? defaults.mean, std: transform.std ?? defaults.std });
    default:
      return fail("argument", `images: unknown transform ${JSON.stringify(transform)}`);
  }
}

export const flipHorizontally = (image: Picture): Picture =>
  drawPicture(image.channels, image.height, image.width, (c, y, x) => {
    const row = (c * image.height + y) * image.width;
    return image.data[row + image.width - 1 - x] as number;
  });

/** (x − mean) / std, per channel. */
export function normalize(image: Picture, { mean, std }: Normalization): Picture {
  if (mean.length !== image.channels || std.length !== image.channels)
    fail("shape", `normalize: ${mean.length} means, ${std.length} deviations for ${image.channels} channels`);
  return mapPicture(image, (x, c) => (x - (mean[c] as number)) / (std[c] as number));
}

/** Rows and columns from (top, left); what lies outside is 0, or the picture mirrored. */
export function crop(
  image: Picture,
  top: number,
  left: number,
  height: number,
  width: number,
  border: "zero" | "reflect" = "zero",
): Picture {
  const data = new Float32Array(image.channels * height * width);
  for (let c = 0, i = 0; c < image.channels; c++)
    for (let y = 0; y < height; y++) {
      const row = within(y + top, image.height, "mirror");
      const start = (c * image.height + row) * image.width;
      for (let x = 0; x < width; x++, i++) {
        const column = within(x + left, image.width, "mirror");
        const inside = row === y + top && column === x + left;
        if (inside || border === "reflect") data[i] = image.data[start + column] as number;
      }
    }
  return { channels: image.channels, height, width, data };
}

function randomCrop(
  image: Picture,
  { size, padding = 0, border }: Extract<Transform, { name: "randomCrop" }>,
  draws: Draws,
): Picture {
  const [height, width] = sides(size);
  const [rows, columns] = [image.height + 2 * padding - height, image.width + 2 * padding - width];
  if (rows < 0 || columns < 0)
    fail(
      "shape",
      `randomCrop: ${height}x${width} of ${sizeText(image)} with padding ${padding}; expected a smaller part`,
    );
  return crop(image, draws.whole(0, rows) - padding, draws.whole(0, columns) - padding, height, width, border);
}

type Box = readonly [top: number, left: number, height: number, width: number];

/** Ten tries at an area and a ratio that fit, as torchvision has it. */
function box({ height: h, width: w }: Picture, scale: Range, ratio: Range, draws: Draws): Box | undefined {
  for (let tries = 0; tries < 10; tries++) {
    const area = h * w * draws.uniform(...scale);
    const shape = Math.exp(draws.uniform(Math.log(ratio[0]), Math.log(ratio[1])));
    const [width, height] = [Math.round(Math.sqrt(area * shape)), Math.round(Math.sqrt(area / shape))];
    if (width > 0 && width <= w && height > 0 && height <= h)
      return [draws.whole(0, h - height), draws.whole(0, w - width), height, width];
  }
  return undefined;
}

function centralBox({ height: h, width: w }: Picture, [low, high]: Range): Box {
  const width = w / h > high ? Math.round(h * high) : w;
  const height = w / h < low ? Math.round(w / low) : h;
  return [Math.floor((h - height) / 2), Math.floor((w - width) / 2), height, width];
}

/**
 * A part of a picture at another size, by triangle filters as wide as the shrinking (Pillow's and torchvision's
 * antialiased bilinear; the part's own border is the edge).
 */
export function resize(image: Picture, [top, left, height, width]: Box, [rows, columns]: [number, number]): Picture {
  const { channels, data } = image;
  const narrow = new Float32Array(channels * height * columns);
  filters(width, columns).forEach(({ first, weights }, x) => {
    for (let c = 0; c < channels; c++)
      for (let y = 0; y < height; y++) {
        const start = (c * image.height + top + y) * image.width + left + first;
        narrow[(c * height + y) * columns + x] = weighted(data, start, 1, weights);
      }
  });
  const result = new Float32Array(channels * rows * columns);
  filters(height, rows).forEach(({ first, weights }, y) => {
    for (let c = 0; c < channels; c++)
      for (let x = 0; x < columns; x++) {
        const start = (c * height + first) * columns + x;
        result[(c * rows + y) * columns + x] = weighted(narrow, start, columns, weights);
      }
  });
  return { channels, height: rows, width: columns, data: result };
}

function weighted(data: Float32Array, start: number, step: number, weights: readonly number[]): number {
  let sum = 0;
  for (let i = 0; i < weights.length; i++) sum += (weights[i] as number) * (data[start + i * step] as number);
  return sum;
}

interface Filter {
  readonly first: number;
  readonly weights: readonly number[];
}

function filters(from: number, to: number): Filter[] {
  const scale = from / to;
  const wide = Math.max(1, scale);
  return Array.from({ length: to }, (_, i) => {
    const center = (i + 0.5) * scale;
    const first = Math.max(0, Math.floor(center - wide + 0.5));
    const last = Math.min(from, Math.floor(center + wide + 0.5));
    const raw = Array.from({ length: last - first }, (_, k) =>
      Math.max(0, 1 - Math.abs(first + k + 0.5 - center) / wide),
    );
    const sum = raw.reduce((a, b) => a + b, 0);
    return { first, weights: raw.map((weight) => weight / sum) };
  });
}

function erase(image: Picture, transform: Extract<Transform, { name: "randomErasing" }>, draws: Draws): Picture {
  const { probability = 0.5, scale = [0.02, 0.33], ratio = [0.3, 3.3], value = 0 } = transform;
  const place = draws.uniform() < probability ? box(image, scale, ratio, draws) : undefined;
  if (!place) return image;
  const [top, left, height, width] = place;
  return mapPicture(image, (old, _, y, x) => {
    if (y < top || y >= top + height || x < left || x >= left + width) return old;
    return value === "random" ? draws.normal() : value;
  });
}

function sides(size: Size): [height: number, width: number] {
  const [height, width] = typeof size === "number" ? [size, size] : size;
  for (const side of [height, width])
    if (!Number.isInteger(side) || side < 1) fail("argument", `images: size ${side}; expected a whole number from 1`);
  return [height, width];
}

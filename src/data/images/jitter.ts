import type { ColorJitter } from "./augment.js";
import type { Draws } from "./draws.js";
import { clip, type Picture } from "./picture.js";

/** Grey per pixel as torchvision weighs it: 0.2989 R + 0.587 G + 0.114 B; a grey picture is its own. */
function greyOf({ channels, height, width, data }: Picture): Float32Array {
  const size = height * width;
  if (channels !== 3) return data.subarray(0, size);
  const grey = new Float32Array(size);
  for (let i = 0; i < size; i++)
    grey[i] =
      0.2989 * (data[i] as number) + 0.587 * (data[size + i] as number) + 0.114 * (data[2 * size + i] as number);
  return grey;
}

/** factor · x + (1 − factor) · other, clipped to [0, 1]; `other` is a plane or one value. */
function blend(image: Picture, other: Float32Array | number, factor: number): Picture {
  const size = image.height * image.width;
  const data = new Float32Array(image.data.length);
  for (let i = 0; i < data.length; i++) {
    const base = typeof other === "number" ? other : (other[i % size] as number);
    data[i] = clip(factor * (image.data[i] as number) + (1 - factor) * base);
  }
  return { ...image, data };
}

/** x · factor. */
export const adjustBrightness = (image: Picture, factor: number): Picture => blend(image, 0, factor);

/** factor · x + (1 − factor) · mean of the grey picture. */
export function adjustContrast(image: Picture, factor: number): Picture {
  const grey = greyOf(image);
  let sum = 0;
  for (let i = 0; i < grey.length; i++) sum += grey[i] as number;
  return blend(image, sum / grey.length, factor);
}

/** factor · x + (1 − factor) · grey. */
export function adjustSaturation(image: Picture, factor: number): Picture {
  return blend(image, greyOf(image), factor);
}

/** Hue turned by `turn` of a circle, in HSV; a grey picture has none. */
export function adjustHue(image: Picture, turn: number): Picture {
  if (image.channels !== 3) return image;
  const size = image.height * image.width;
  const data = new Float32Array(image.data.length);
  for (let i = 0; i < size; i++) {
    const [r, g, b] = [image.data[i], image.data[i + size], image.data[i + 2 * size]] as [number, number, number];
    const value = Math.max(r, g, b);
    const range = value - Math.min(r, g, b);
    const sector =
      range === 0 ? 0 : value === r ? (g - b) / range : value === g ? 2 + (b - r) / range : 4 + (r - g) / range;
    const hue = sector + 6 * turn;
    // Each channel falls from `value` as the hue leaves its own sixth (HSV to RGB without cases).
    [5, 3, 1].forEach((n, c) => {
      const k = (((n + hue) % 6) + 6) % 6;
      data[i + c * size] = value - range * clip(Math.min(k, 4 - k));
    });
  }
  return { ...image, data };
}

/** torchvision's ColorJitter. */
export function jitterColors(image: Picture, amounts: ColorJitter, draws: Draws): Picture {
  const { brightness = 0, contrast = 0, saturation = 0, hue = 0 } = amounts;
  const factor = (amount: number): number => draws.uniform(Math.max(0, 1 - amount), 1 + amount);
  const order = draws.shuffled(4);
  const drawn = [factor(brightness), factor(contrast), factor(saturation), draws.uniform(-hue, hue)] as const;
  const steps = [
    (x: Picture) => (brightness ? adjustBrightness(x, drawn[0]) : x),
    (x: Picture) => (contrast ? adjustContrast(x, drawn[1]) : x),
    (x: Picture) => (saturation ? adjustSaturation(x, drawn[2]) : x),
    (x: Picture) => (hue ? adjustHue(x, drawn[3]) : x),
  ];
  return order.reduce((x, step) => (steps[step] as (x: Picture) => Picture)(x), image);
}

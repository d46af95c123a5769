import { motion, zoomed } from "./corrupt-blur.js";
import type { Draws } from "./draws.js";
import { clip, drawPicture, mapPicture, type Picture } from "./picture.js";
import { plasma } from "./plasma.js";

const powerOfTwo = (image: Picture): number => 2 ** Math.ceil(Math.log2(Math.max(2, image.height, image.width)));

/** (x + amount · cloud) · max / (max + amount), where max is the picture's. */
export function fog(image: Picture, amount: number, decay: number, draws: Draws): Picture {
  const side = powerOfTwo(image);
  const cloud = plasma(side, decay, draws);
  const most = image.data.reduce((a, b) => Math.max(a, b), 0);
  return mapPicture(
    image,
    (x, _, row, column) => ((x + amount * (cloud[row * side + column] as number)) * most) / (most + amount),
  );
}

/** keep · x + ice · texture: bluish white, with veins where a cloud crosses its middle height. */
export function frost(image: Picture, keep: number, ice: number, draws: Draws): Picture {
  const side = powerOfTwo(image);
  const cloud = plasma(side, 1.9, draws);
  const tint = image.channels === 3 ? [0.8, 0.9, 1] : [0.9];
  return mapPicture(image, (x, c, row, column) => {
    const vein = 1 - Math.abs(2 * (cloud[row * side + column] as number) - 1);
    return keep * x + ice * (tint[c] as number) * (0.3 + 0.7 * vein ** 2);
  });
}

export interface Snow {
  readonly mean: number;
  readonly sd: number;
  readonly zoom: number;
  readonly threshold: number;
  readonly radius: number;
  readonly sigma: number;
  readonly keep: number;
}

/** A whitened picture with flakes (blurred noise) that fall both ways. */
export function snow(image: Picture, options: Snow, draws: Draws): Picture {
  const { mean, sd, zoom, threshold, radius, sigma, keep } = options;
  const { height, width, data } = image;
  const noise = drawPicture(1, height, width, () => mean + sd * draws.normal());
  const flakes = mapPicture(zoomed(noise, zoom), (x) => (x < threshold ? 0 : Math.floor(clip(x) * 255) / 255));
  // Cut off to bytes, as ImageMagick's are.
  const falling = mapPicture(
    motion(flakes, radius, sigma, draws.uniform(-135, -45)),
    (x) => Math.floor(x * 255 + 1e-3) / 255,
  );
  const size = height * width;
  return mapPicture(image, (x, _, row, column) => {
    const i = row * width + column;
    const grey =
      image.channels === 3
        ? 0.299 * (data[i] as number) + 0.587 * (data[i + size] as number) + 0.114 * (data[i + 2 * size] as number)
        : x;
    const white = keep * x + (1 - keep) * Math.max(x, grey * 1.5 + 0.5);
    return white + (falling.data[i] as number) + (falling.data[size - 1 - i] as number);
  });
}

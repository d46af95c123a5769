/**
 * The common corruptions at severities 1 to 5 with the constants of CIFAR-10-C (Benchmarking Neural Network Robustness
 * to Common Corruptions and Perturbations, 2019), for pictures of about 32 x 32. Input is taken, and output given, in
 * steps of 1/255, cut off downwards, as the data set's bytes are. Random numbers are ours, so single pictures differ
 * from the published ones. So do:
 *
 * - frost: its photographs are not part of this package; an icy texture is drawn instead;
 * - JPEG: all of the format in floating point; against libjpeg's integers a few coefficients round to the other side,
 *   on average less than 0.6 of a step.
 */
import { fail } from "../../tensor/errors.js";
import { defocus, glass, motion, zoomBlur } from "./corrupt-blur.js";
import { elastic, pixelate } from "./corrupt-geometry.js";
import { fog, frost, snow } from "./corrupt-weather.js";
import type { Draws } from "./draws.js";
import { jpegLoss } from "./jpeg-loss.js";
import { clip, mapPicture, type Picture } from "./picture.js";
import { Poisson } from "./poisson.js";

export type Severity = 1 | 2 | 3 | 4 | 5;

type Corruption = (image: Picture, draws: Draws) => Picture;
/** One corruption for five sets of constants. */
const at =
  <T>(constants: readonly [T, T, T, T, T], apply: (image: Picture, constant: T, draws: Draws) => Picture) =>
  (severity: Severity): Corruption =>
  (image, draws) =>
    apply(image, constants[severity - 1] as T, draws);

const corruptions = {
  gaussian_noise: at([0.04, 0.06, 0.08, 0.09, 0.1], (image, sd, draws) =>
    mapPicture(image, (x) => x + sd * draws.normal()),
  ),
  shot_noise: at([500, 250, 100, 75, 50], (image, photons, draws) => {
    const poisson = new Poisson();
    return mapPicture(image, (x) => poisson.draw(x * photons, draws.uniform()) / photons);
  }),
  /** Half of the changed values are salt (1), half pepper (0). */
  impulse_noise: at([0.01, 0.02, 0.03, 0.05, 0.07], (image, share, draws) =>
    mapPicture(image, (x) => {
      const u = draws.uniform();
      return u < share / 2 ? 0 : u < share ? 1 : x;
    }),
  ),
  defocus_blur: at(
    [
      [0.3, 0.4],
      [0.4, 0.5],
      [0.5, 0.6],
      [1, 0.2],
      [1.5, 0.1],
    ] as const,
    (image, [radius, soft]) => defocus(image, radius, soft),
  ),
  glass_blur: at(
    [
      [0.05, 1, 1],
      [0.25, 1, 1],
      [0.4, 1, 1],
      [0.25, 1, 2],
      [0.4, 1, 2],
    ] as const,
    (image, [sigma, reach, rounds], draws) => glass(image, { sigma, reach, rounds }, draws),
  ),
  motion_blur: at(
    [
      [6, 1],
      [6, 1.5],
      [6, 2],
      [8, 2],
      [9, 2.5],
    ] as const,
    (image, [radius, sigma], draws) => motion(image, radius, sigma, draws.uniform(-45, 45)),
  ),
  /** Steps as the published ranges come out in floating point: the first two run one further. */
  zoom_blur: at([7, 12, 16, 21, 26], (image, steps) => zoomBlur(image, steps)),
  snow: at(
    [
      [0.1, 0.2, 1, 0.6, 8, 3, 0.95],
      [0.1, 0.2, 1, 0.5, 10, 4, 0.9],
      [0.15, 0.3, 1.75, 0.55, 10, 4, 0.9],
      [0.25, 0.3, 2.25, 0.6, 12, 6, 0.85],
      [0.3, 0.3, 1.25, 0.65, 14, 12, 0.8],
    ] as const,
    (image, [mean, sd, zoom, threshold, radius, sigma, keep], draws) =>
      snow(image, { mean, sd, zoom, threshold, radius, sigma, keep }, draws),
  ),
  frost: at(
    [
      [1, 0.2],
      [1, 0.3],
      [0.9, 0.4],
      [0.85, 0.4],
      [0.75, 0.45],
    ] as const,
    (image, [keep, ice], draws) => frost(image, keep, ice, draws),
  ),
  fog: at(
    [
      [0.2, 3],
      [0.5, 3],
      [0.75, 2.5],
      [1, 2],
      [1.5, 1.75],
    ] as const,
    (image, [amount, decay], draws) => fog(image, amount, decay, draws),
  ),
  brightness: at([0.05, 0.1, 0.15, 0.2, 0.3], brighten),
  contrast: at([0.75, 0.5, 0.4, 0.3, 0.15], flatten),
  elastic_transform: at(
    [
      [0, 0, 0.08],
      [0.05, 0.2, 0.07],
      [0.08, 0.06, 0.06],
      [0.1, 0.04, 0.05],
      [0.1, 0.03, 0.03],
    ] as const,
    (image, [alpha, sigma, affine], draws) => elastic(image, { alpha, sigma, affine }, draws),
  ),
  pixelate: at([0.95, 0.9, 0.85, 0.75, 0.65], pixelate),
  jpeg_compression: at([80, 65, 58, 50, 40], jpegLoss),
} satisfies Record<string, (severity: Severity) => Corruption>;

export type CorruptionName = keyof typeof corruptions;
export const corruptionNames = Object.keys(corruptions) as CorruptionName[];

/**
 * A picture in [0, 1] with one or three channels, corrupted.
 *
 * @throws LayerwiseError "argument" for an unknown name, a severity outside 1 to 5 or another number of channels.
 */
export function corrupt(image: Picture, name: CorruptionName, severity: Severity, draws: Draws): Picture {
  if (!Object.hasOwn(corruptions, name))
    fail("argument", `corrupt: "${name}" is not known; expected one of ${corruptionNames.join(", ")}`);
  if (![1, 2, 3, 4, 5].includes(severity)) fail("argument", `corrupt: severity ${severity}; expected 1 to 5`);
  if (image.channels !== 1 && image.channels !== 3)
    fail("argument", `corrupt: ${image.channels} channels; expected 1 or 3`);
  const bytes = mapPicture(image, (x) => Math.round(clip(x) * 255) / 255);
  const corrupted = corruptions[name](severity)(bytes, draws);
  // The slack keeps values that are whole steps already from falling one lower through rounding of float32.
  return mapPicture(corrupted, (x) => Math.floor(clip(x) * 255 + 1e-4) / 255);
}

/** V of HSV raised by `amount`; hue and saturation stay. */
function brighten(image: Picture, amount: number): Picture {
  const size = image.height * image.width;
  return mapPicture(image, (x, _, row, column) => {
    const i = row * image.width + column;
    let value = 0;
    for (let c = 0; c < image.channels; c++) value = Math.max(value, image.data[i + c * size] as number);
    const raised = Math.min(1, value + amount);
    return value === 0 ? raised : (x * raised) / value;
  });
}

/** Drawn towards the mean of each channel. */
function flatten(image: Picture, factor: number): Picture {
  const size = image.height * image.width;
  const means = Array.from(
    { length: image.channels },
    (_, c) => image.data.subarray(c * size, (c + 1) * size).reduce((a, b) => a + b, 0) / size,
  );
  return mapPicture(image, (x, c) => (x - (means[c] as number)) * factor + (means[c] as number));
}

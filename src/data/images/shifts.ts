import { fail } from "../../tensor/errors.js";
import type { Draws } from "./draws.js";
import { bilinear, clip, drawPicture, mapPicture, type Picture } from "./picture.js";
import { plasma } from "./plasma.js";

/**
 * Changed domains of pictures in [0, 1]. The first five are those the small reproductions of IBN-Net, AlphaBN and
 * FedWon are measured on; `lowcontrast`, `tint`, `dark` and `bright` are not clipped.
 */
const shifts = {
  lowcontrast: (image: Picture) => mapPicture(image, (x) => 0.35 * x + 0.5),
  tint: (image: Picture) => mapPicture(image, (x, c) => x * ([1, 0.4, 0.2][c] as number) + 0.1),
  dark: (image: Picture) => mapPicture(image, (x) => 0.6 * Math.max(0, x) ** 2.5),
  bright: (image: Picture) => mapPicture(image, (x) => 1.6 * x + 0.2),
  noisy: (image: Picture, draws: Draws) => mapPicture(image, (x) => clip(x + 0.2 * draws.normal())),
  inverted: (image: Picture) => mapPicture(image, (x) => 1 - x),
  grey: (image: Picture) => greyed(image),
  /** By an angle drawn from −45 to 45 degrees. */
  rotated: (image: Picture, draws: Draws) => rotate(image, draws.uniform(-45, 45)),
  /** |background − x| on three channels, as MNIST-M has it; the background is a coloured plasma, not a photograph. */
  blended: (image: Picture, draws: Draws) => blendOn(image, draws),
} satisfies Record<string, (image: Picture, draws: Draws) => Picture>;

export type ShiftName = keyof typeof shifts;
export const shiftNames = Object.keys(shifts) as ShiftName[];

/** The picture in another domain. Throws LayerwiseError "argument" for an unknown name. */
export function shiftDomain(image: Picture, name: ShiftName, draws: Draws): Picture {
  if (!Object.hasOwn(shifts, name))
    fail("argument", `shiftDomain: "${name}" is not known; expected one of ${shiftNames.join(", ")}`);
  return shifts[name](image, draws);
}

/** Turned counter-clockwise about the centre, by bilinear interpolation; what comes from outside is 0. */
export function rotate(image: Picture, degrees: number): Picture {
  const { height, width } = image;
  const [cos, sin] = [Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180)];
  const [cy, cx] = [(height - 1) / 2, (width - 1) / 2];
  // A margin of zeros, so that the border fades as torchvision's does with bilinear interpolation.
  return drawPicture(image.channels, height, width, (c, y, x) => {
    const [dy, dx] = [y - cy, x - cx];
    const [row, column] = [cy + sin * dx + cos * dy, cx + cos * dx - sin * dy];
    const outside = row <= -1 || column <= -1 || row >= height || column >= width;
    return outside ? 0 : bilinear(image, c, row, column, "edge") * cover(row, height) * cover(column, width);
  });
}

/** How much of a sample's two neighbours lies inside. */
const cover = (place: number, length: number): number => clip(Math.min(place + 1, length - place));

function greyed(image: Picture): Picture {
  const size = image.height * image.width;
  return mapPicture(image, (_, __, y, x) => {
    const i = y * image.width + x;
    let sum = 0;
    for (let c = 0; c < image.channels; c++) sum += image.data[i + c * size] as number;
    return sum / image.channels;
  });
}

function blendOn(image: Picture, draws: Draws): Picture {
  const { height, width, channels } = image;
  const side = 2 ** Math.ceil(Math.log2(Math.max(height, width)));
  const planes = [0, 1, 2].map(() => plasma(side, 2, draws));
  return drawPicture(3, height, width, (c, y, x) => {
    const value = image.data[((channels === 3 ? c : 0) * height + y) * width + x] as number;
    return Math.abs(((planes[c] as Float64Array)[y * side + x] as number) - value);
  });
}

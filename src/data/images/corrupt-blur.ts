import type { Draws } from "./draws.js";
import { correlate, gaussianBlur, gaussianTaps, type Tap } from "./filter.js";
import { bilinear, drawPicture, mapPicture, type Picture } from "./picture.js";

/** Out of focus: a disk of `radius`, softened by a 3 x 3 Gaussian of deviation `soft`. */
export function defocus(image: Picture, radius: number, soft: number): Picture {
  const reach = 8;
  const side = 2 * reach + 1;
  const disk = drawPicture(1, side, side, (_, y, x) => Number((y - reach) ** 2 + (x - reach) ** 2 <= radius ** 2));
  const area = disk.data.reduce((a, b) => a + b, 0);
  const [edge = 0, middle = 0] = gaussianTaps(soft, 1);
  const along = [edge, middle, edge];
  const square = along.flatMap((a, i) => along.map((b, j) => ({ dy: i - 1, dx: j - 1, weight: a * b })));
  const { data } = correlate(disk, square, "mirror");
  const taps = Array.from(data, (weight, i) => ({
    dy: Math.floor(i / side) - reach,
    dx: (i % side) - reach,
    weight: weight / area,
  }));
  const used = taps.filter(({ weight }) => weight > 0);
  return correlate(image, used, "mirror");
}

/**
 * Frosted glass: blur, pixels displaced by up to `reach`, blur. The published data copy the neighbour over the pixel
 * (the swap that was meant does not take place); so it is done here.
 */
export function glass(
  image: Picture,
  { sigma, reach, rounds }: { sigma: number; reach: number; rounds: number },
  draws: Draws,
): Picture {
  const { channels, height, width } = image;
  const blurred = mapPicture(gaussianBlur(image, sigma, "edge"), (x) => Math.floor(x * 255 + 1e-4) / 255);
  const { data } = blurred;
  for (let round = 0; round < rounds; round++)
    for (let y = height - reach; y > reach; y--)
      for (let x = width - reach; x > reach; x--) {
        const [dx, dy] = [draws.whole(-reach, reach - 1), draws.whole(-reach, reach - 1)];
        for (let c = 0; c < channels; c++)
          data[(c * height + y) * width + x] = data[(c * height + y + dy) * width + x + dx] as number;
      }
  return gaussianBlur(blurred, sigma, "edge");
}

/**
 * ImageMagick's motion blur: half a Gaussian of 2 · radius + 1 taps, laid from the pixel along the angle.
 * `degrees` turns clockwise from the right.
 */
export function motion(image: Picture, radius: number, sigma: number, degrees: number): Picture {
  const length = 2 * Math.ceil(radius) + 1;
  const raw = Array.from({ length }, (_, i) => Math.exp(-(i ** 2) / (2 * sigma ** 2)));
  const sum = raw.reduce((a, b) => a + b, 0);
  const angle = (degrees * Math.PI) / 180;
  const taps: Tap[] = raw.map((weight, i) => ({
    dy: Math.ceil(i * Math.sin(angle) - 0.5),
    dx: Math.ceil(i * Math.cos(angle) - 0.5),
    weight: weight / sum,
  }));
  return correlate(image, taps, "edge");
}

/** Halves go to the even neighbour, as SciPy's sizes do. */
const roundEven = (x: number): number => (x % 1 === 0.5 ? 2 * Math.round(x / 2) : Math.round(x));

/** NumPy's step from 1 to 1.01: the last bit decides whether 26 rows become 32 or 33. */
const hundredth = 1.01 - 1;

/** Mean of the picture and its enlargements by 1, 1.01, … (`steps` of them). */
export function zoomBlur(image: Picture, steps: number): Picture {
  const sum = image.data.slice();
  for (let step = 0; step < steps; step++)
    zoomed(image, 1 + step * hundredth).data.forEach((x, i) => {
      sum[i] = (sum[i] as number) + x;
    });
  return { ...image, data: sum.map((x) => x / (steps + 1)) };
}

/** The middle, enlarged to the same size: rows and columns ceil(side / factor), corners on corners, bilinear. */
export function zoomed(image: Picture, factor: number): Picture {
  const place = (length: number): ((i: number) => number) => {
    const part = Math.ceil(length / factor);
    const out = roundEven(part * factor);
    const [start, trim] = [Math.floor((length - part) / 2), Math.floor((out - length) / 2)];
    const step = out > 1 ? (part - 1) / (out - 1) : 0;
    return (i) => start + (i + trim) * step;
  };
  const [row, column] = [place(image.height), place(image.width)];
  return drawPicture(image.channels, image.height, image.width, (c, y, x) =>
    bilinear(image, c, row(y), column(x), "edge"),
  );
}

import type { Draws } from "./draws.js";
import { gaussianBlur } from "./filter.js";
import { bilinear, drawPicture, type Picture } from "./picture.js";

/** Shrunk to whole part of side · factor and enlarged again, both by Pillow's box filter (bytes after each pass). */
export function pixelate(image: Picture, factor: number): Picture {
  const small = boxResize(image, Math.floor(image.height * factor), Math.floor(image.width * factor));
  return boxResize(small, image.height, image.width);
}

function boxResize(image: Picture, height: number, width: number): Picture {
  const [columns, rows] = [boxes(image.width, width), boxes(image.height, height)];
  const step = (values: number[]): number =>
    Math.floor((255 * values.reduce((a, b) => a + b, 0)) / values.length + 0.5) / 255;
  const narrow = drawPicture(image.channels, image.height, width, (c, y, x) =>
    step((columns[x] as number[]).map((i) => image.data[(c * image.height + y) * image.width + i] as number)),
  );
  return drawPicture(image.channels, height, width, (c, y, x) =>
    step((rows[y] as number[]).map((i) => narrow.data[(c * image.height + i) * width + x] as number)),
  );
}

/** For each place of the output, the inputs whose middle its box holds. */
function boxes(from: number, to: number): number[][] {
  const scale = from / Math.max(1, to);
  const reach = Math.max(scale, 1) / 2;
  return Array.from({ length: to }, (_, i) => {
    const center = (i + 0.5) * scale;
    const inputs = Array.from({ length: from }, (_, k) => k);
    const inside = inputs.filter((k) => k + 0.5 > center - reach && k + 0.5 <= center + reach);
    return inside.length > 0 ? inside : [Math.min(from - 1, Math.floor(center))];
  });
}

/** Shares of the side: how far pixels go, how smooth the field is, how far the corners of the affine map go. */
export interface Elastic {
  readonly alpha: number;
  readonly sigma: number;
  readonly affine: number;
}

/** A random affine map, then a smooth random displacement of every pixel. */
export function elastic(image: Picture, { alpha, sigma, affine }: Elastic, draws: Draws): Picture {
  const { channels, height, width } = image;
  const side = Math.max(height, width);
  const map = affineMap(height, width, affine * side, draws);
  const mapped = drawPicture(channels, height, width, (c, y, x) => {
    const [column, row] = map(x, y);
    return bilinear(image, c, row, column, "mirror");
  });
  const noise = (): Picture => drawPicture(1, height, width, () => draws.uniform(-1, 1));
  const [dx, dy] = [noise(), noise()].map((plane) => gaussianBlur(plane, sigma * side, "symmetric", 3)) as [
    Picture,
    Picture,
  ];
  return drawPicture(channels, height, width, (c, y, x) => {
    const i = y * width + x;
    const [down, right] = [alpha * side * (dy.data[i] as number), alpha * side * (dx.data[i] as number)];
    return bilinear(mapped, c, y + down, x + right, "symmetric");
  });
}

type Point = readonly [x: number, y: number];

/** Where an output pixel comes from: the map that takes three displaced corners back to three corners of a square. */
function affineMap(height: number, width: number, most: number, draws: Draws): (x: number, y: number) => Point {
  const [cx, cy] = [Math.floor(height / 2), Math.floor(width / 2)];
  const reach = Math.floor(Math.min(height, width) / 3);
  const from: Point[] = [
    [cx + reach, cy + reach],
    [cx + reach, cy - reach],
    [cx - reach, cy - reach],
  ];
  const to = from.map(([x, y]): Point => [x + draws.uniform(-most, most), y + draws.uniform(-most, most)]);
  const [p, q, r] = to as [Point, Point, Point];
  const [a, b, c, d] = [p[0] - q[0], p[1] - q[1], q[0] - r[0], q[1] - r[1]];
  const determinant = a * d - b * c;
  const [fp, fq, fr] = from as [Point, Point, Point];
  // (x, y) − q = s (p − q) + t (q − r) holds before the map and after it.
  return (x, y) => {
    const [ux, uy] = [x - q[0], y - q[1]];
    const s = (ux * d - uy * c) / determinant;
    const t = (uy * a - ux * b) / determinant;
    return [fq[0] + s * (fp[0] - fq[0]) + t * (fq[0] - fr[0]), fq[1] + s * (fp[1] - fq[1]) + t * (fq[1] - fr[1])];
  };
}

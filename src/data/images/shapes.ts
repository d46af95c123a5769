import { fail } from "../../tensor/errors.js";
import { NDArray } from "../../tensor/ndarray.js";
import { type ImageDataset, memoryImages, sharedBytes } from "./dataset.js";
import { Draws } from "./draws.js";
import { clip, drawPicture, type Picture } from "./picture.js";
import { type ShiftName, shiftDomain } from "./shifts.js";

export const shapeClasses = ["disk", "square", "triangle", "plus", "ring", "cross"] as const;

/** Where a shape is, as a function of u = (x − cx) / R and v = (y − cy) / R, v downwards. */
const inside: readonly ((u: number, v: number) => boolean)[] = [
  (u, v) => u * u + v * v < 1,
  (u, v) => Math.max(Math.abs(u), Math.abs(v)) < 0.85,
  (u, v) => v > -1 && v < 0.7 && Math.abs(u) < (v + 1) / 1.7,
  (u, v) => (Math.abs(u) < 0.33 && Math.abs(v) < 1) || (Math.abs(v) < 0.33 && Math.abs(u) < 1),
  (u, v) => u * u + v * v > 0.35 && u * u + v * v < 1,
  (u, v) => (Math.abs(u - v) < 0.45 || Math.abs(u + v) < 0.45) && Math.max(Math.abs(u), Math.abs(v)) < 1,
];

export interface ShapeOptions {
  /** Side in pixels (default 20). */
  readonly size?: number;
  /** Deviation of the Gaussian noise (default 0.05; the Weight Standardization study has 0.1). */
  readonly noise?: number;
  readonly seed?: number;
  /** The changed domain (default none: the base one). */
  readonly shift?: ShiftName;
}

/**
 * Picture `index` of the six shapes: 3 colours, centre U[0.35, 0.65] and radius U[0.22, 0.34] of the side, foreground
 * U[0.6, 1]³ on background U[0, 0.4]³, Gaussian noise, clipped to [0, 1], then the shift. The class is drawn too. A
 * shift changes nothing else, so the same index is the same scene in every domain.
 */
export function shapeExample(index: number, options: ShapeOptions = {}): { image: Picture; label: number } {
  const { size = 20, noise = 0.05, seed = 0, shift } = options;
  const key = { seed, index };
  const draws = new Draws(key, "shapes");
  const label = draws.whole(0, inside.length - 1);
  const [cx, cy] = [draws.uniform(0.35, 0.65) * size, draws.uniform(0.35, 0.65) * size];
  const radius = draws.uniform(0.22, 0.34) * size;
  const [front, back] = [[0, 0, 0].map(() => draws.uniform(0.6, 1)), [0, 0, 0].map(() => draws.uniform(0, 0.4))] as [
    number[],
    number[],
  ];
  const covers = inside[label] as (u: number, v: number) => boolean;
  const image = drawPicture(3, size, size, (c, y, x) => {
    const color = covers((x + 0.5 - cx) / radius, (y + 0.5 - cy) / radius) ? front : back;
    return clip((color[c] as number) + noise * draws.normal());
  });
  return { image: shift ? shiftDomain(image, shift, new Draws(key, "shapes.shift")) : image, label };
}

/**
 * `count` pictures as a set in memory, from `first` on; bytes, so values are whole 255ths, and shifts that leave [0, 1]
 * are clipped: where that matters, use `shapeExample`. Mean and deviation give (x − 0.5) · 2.
 */
export function shapeImages(count: number, options: ShapeOptions & { readonly first?: number } = {}): ImageDataset {
  const { size = 20, first = 0 } = options;
  if (!Number.isInteger(count) || count < 1) fail("argument", `shapeImages: count ${count}; expected at least 1`);
  const pixels = sharedBytes(count * 3 * size * size);
  const labels = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    const { image, label } = shapeExample(first + i, options);
    image.data.forEach((x, k) => {
      pixels[i * image.data.length + k] = Math.round(clip(x) * 255);
    });
    labels[i] = label;
  }
  const scale = { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] };
  return memoryImages({ pixels, labels, channels: 3, height: size, width: size, classes: shapeClasses, ...scale });
}

/** The same pictures as drawn, neither rounded nor clipped: `images` float32 [count, 3, size, size], `labels` int32. */
export function shapeArrays(
  count: number,
  options: ShapeOptions & { readonly first?: number } = {},
): { images: NDArray; labels: NDArray } {
  const { size = 20, first = 0 } = options;
  const images = new Float32Array(count * 3 * size * size);
  const labels = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    const { image, label } = shapeExample(first + i, options);
    images.set(image.data, i * image.data.length);
    labels[i] = label;
  }
  return {
    images: new NDArray(images, [count, 3, size, size], "float32"),
    labels: new NDArray(labels, [count], "int32"),
  };
}

export const markClasses = ["square", "disk", "plus", "diamond"] as const;

/** By |dx| and |dy| from the centre, and r. */
const marks: readonly ((dx: number, dy: number, r: number) => boolean)[] = [
  (dx, dy, r) => Math.max(dx, dy) < r,
  (dx, dy, r) => dx * dx + dy * dy < (1.1 * r) ** 2,
  (dx, dy, r) => Math.min(dx, dy) < 0.35 * r && Math.max(dx, dy) < r,
  (dx, dy, r) => dx + dy < 1.3 * r,
];

/**
 * Mark `index` of the linear-scope study: grey, 16 x 16, pixels at whole coordinates, centre U[5, 11]², r ~ U[2.5, 4.5],
 * brightness U[0.5, 1] on 0, Gaussian noise of 0.1, not clipped.
 */
export function markExample(index: number, { seed = 0 }: { seed?: number } = {}): { image: Picture; label: number } {
  const draws = new Draws({ seed, index }, "marks");
  const label = draws.whole(0, marks.length - 1);
  const [cx, cy] = [draws.uniform(5, 11), draws.uniform(5, 11)];
  const [radius, brightness] = [draws.uniform(2.5, 4.5), draws.uniform(0.5, 1)];
  const covers = marks[label] as (typeof marks)[number];
  const image = drawPicture(
    ...([1, 16, 16] as const),
    (_, y, x) => (covers(Math.abs(x - cx), Math.abs(y - cy), radius) ? brightness : 0) + 0.1 * draws.normal(),
  );
  return { image, label };
}

/**
 * A scene to fill holes in (the Region Normalization study): per channel a + b (X − ½) + c (Y − ½), a ~ U[0, 1],
 * b, c ~ U[−0.6, 0.6], and three disks or squares, centre U[0.1, 0.9], radius U[0.1, 0.3], random colour; clipped.
 */
export function scenePicture(index: number, { size = 32, seed = 0 }: { size?: number; seed?: number } = {}): Picture {
  const draws = new Draws({ seed, index }, "scenes");
  const colors = [0, 1, 2].map(() => [draws.uniform(), draws.uniform(-0.6, 0.6), draws.uniform(-0.6, 0.6)] as const);
  const things = [0, 1, 2].map(() => ({
    round: draws.uniform() < 0.5,
    x: draws.uniform(0.1, 0.9),
    y: draws.uniform(0.1, 0.9),
    radius: draws.uniform(0.1, 0.3),
    color: [draws.uniform(), draws.uniform(), draws.uniform()],
  }));
  return drawPicture(3, size, size, (c, row, column) => {
    const [x, y] = [(column + 0.5) / size, (row + 0.5) / size];
    const top = things.findLast((thing) => {
      const [dx, dy] = [Math.abs(x - thing.x), Math.abs(y - thing.y)];
      return thing.round ? Math.hypot(dx, dy) < thing.radius : Math.max(dx, dy) < thing.radius;
    });
    const [a, b, d] = colors[c] as readonly [number, number, number];
    return clip(top ? (top.color[c] as number) : a + b * (x - 0.5) + d * (y - 0.5));
  });
}

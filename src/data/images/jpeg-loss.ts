/**
 * What a JPEG of quality 1 to 100 does to a picture: everything of the format but the entropy code, which loses nothing
 * (ITU-T T.81, 1992; quality as libjpeg scales the tables of its annex K).
 */
import { clip, drawPicture, type Picture } from "./picture.js";

const luminance = [
  ...[16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56],
  ...[14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92],
  ...[49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99],
];
const chrominance = Array.from({ length: 64 }, (_, i) => {
  const corner = [
    [17, 18, 24, 47],
    [18, 21, 26, 66],
    [24, 26, 56, 99],
    [47, 66, 99, 99],
  ];
  return corner[i >> 3]?.[i & 7] ?? 99;
});

const scaled = (table: readonly number[], quality: number): number[] => {
  const percent = quality < 50 ? Math.floor(5000 / quality) : 200 - 2 * quality;
  return table.map((step) => clip(Math.floor((step * percent + 50) / 100), 1, 255));
};

/** Rows are the frequencies of an orthonormal DCT of length 8. */
const cosines = Array.from({ length: 8 }, (_, k) =>
  Array.from({ length: 8 }, (_, n) => (k === 0 ? Math.SQRT1_2 : 1) * 0.5 * Math.cos(((2 * n + 1) * k * Math.PI) / 16)),
);

/** A plane of whole numbers from 0 to 255. */
interface Plane {
  readonly height: number;
  readonly width: number;
  readonly data: Float32Array;
}

const plane = (height: number, width: number, value: (y: number, x: number) => number): Plane =>
  drawPicture(1, height, width, (_, y, x) => value(y, x));
const whole = (x: number): number => clip(Math.floor(x + 0.5), 0, 255);

export function jpegLoss(image: Picture, quality: number): Picture {
  const { height, width, channels, data } = image;
  const size = height * width;
  const value = (c: number, i: number): number => 255 * (data[c * size + i] as number);
  // Whole blocks of 16 x 16: the edge is repeated.
  const [rows, columns] = [Math.ceil(height / 16) * 16, Math.ceil(width / 16) * 16];
  const padded = (of: (i: number) => number): Plane =>
    plane(rows, columns, (y, x) => whole(of(Math.min(y, height - 1) * width + Math.min(x, width - 1))));
  if (channels === 1) {
    const grey = quantized(
      padded((i) => value(0, i)),
      scaled(luminance, quality),
    );
    return drawPicture(1, height, width, (_, y, x) => (grey.data[y * columns + x] as number) / 255);
  }
  const mixed = (r: number, g: number, b: number, offset: number): Plane =>
    padded((i) => r * value(0, i) + g * value(1, i) + b * value(2, i) + offset);
  const light = quantized(mixed(0.299, 0.587, 0.114, 0), scaled(luminance, quality));
  const [blue, red] = [mixed(-0.168735892, -0.331264108, 0.5, 128), mixed(0.5, -0.418687589, -0.081312411, 128)].map(
    (chroma) => doubled(quantized(halved(chroma), scaled(chrominance, quality))),
  ) as [Plane, Plane];
  const weights = [
    [0, 1.402],
    [-0.344136286, -0.714136286],
    [1.772, 0],
  ] as const;
  return drawPicture(3, height, width, (c, y, x) => {
    const i = y * columns + x;
    const [b, r] = weights[c] as readonly [number, number];
    const sum = (light.data[i] as number) + b * ((blue.data[i] as number) - 128) + r * ((red.data[i] as number) - 128);
    return whole(sum) / 255;
  });
}

/** Each 8 x 8 block to frequencies, these to whole multiples of the table's steps, and back. */
function quantized(source: Plane, table: readonly number[]): Plane {
  const data = new Float32Array(source.data.length);
  const block = new Float64Array(64);
  for (let top = 0; top < source.height; top += 8)
    for (let left = 0; left < source.width; left += 8) {
      const place = (i: number): number => (top + (i >> 3)) * source.width + left + (i & 7);
      for (let i = 0; i < 64; i++) block[i] = (source.data[place(i)] as number) - 128;
      const frequencies = transform(block, (k, n) => cosines[k]?.[n] as number);
      const kept = frequencies.map((x, i) => roundAway(x / (table[i] as number)) * (table[i] as number));
      transform(kept, (n, k) => cosines[k]?.[n] as number).forEach((x, i) => {
        data[place(i)] = whole(x + 128);
      });
    }
  return { ...source, data };
}

/** Halves go away from 0, as libjpeg's do; the slack is for halves that floating point misses by a little. */
const roundAway = (x: number): number => Math.sign(x) * Math.floor(Math.abs(x) + 0.5 + 1e-9);

/** M B Mᵀ of an 8 x 8 block. */
function transform(block: Float64Array, matrix: (row: number, column: number) => number): Float64Array {
  const multiply = (source: Float64Array): Float64Array =>
    Float64Array.from({ length: 64 }, (_, i) => {
      let sum = 0;
      // Transposed on the way out, so that twice is both sides.
      for (let n = 0; n < 8; n++) sum += matrix(i & 7, n) * (source[n * 8 + (i >> 3)] as number);
      return sum;
    });
  return multiply(multiply(block));
}

/** Means of 2 x 2; halves are rounded down and up in turn. */
const halved = ({ height, width, data }: Plane): Plane =>
  plane(height / 2, width / 2, (y, x) => {
    const i = 2 * y * width + 2 * x;
    const sum = [i, i + 1, i + width, i + width + 1].reduce((total, k) => total + (data[k] as number), 0);
    return (sum + 1 + (x & 1)) >> 2;
  });

/** Twice the size: 9, 3, 3 and 1 sixteenths of the nearest four (libjpeg's "fancy" upsampling). */
const doubled = ({ height, width, data }: Plane): Plane =>
  plane(2 * height, 2 * width, (y, x) => {
    const [row, column] = [y >> 1, x >> 1];
    const [other, beside] = [
      clip(row + (y & 1 ? 1 : -1), 0, height - 1),
      clip(column + (x & 1 ? 1 : -1), 0, width - 1),
    ];
    const sum = (c: number): number => 3 * (data[row * width + c] as number) + (data[other * width + c] as number);
    return (3 * sum(column) + sum(beside) + (x & 1 ? 7 : 8)) >> 4;
  });

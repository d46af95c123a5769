import { fail } from "../../tensor/errors.js";
import { type Picture, sameSize } from "./picture.js";

/** Mean absolute difference; with a mask [height · width] over the places where it is 1 (not 0). */
export function l1(a: Picture, b: Picture, mask?: ArrayLike<number>): number {
  return meanOf(a, b, "l1", Math.abs, mask);
}

/** Mean squared difference. */
export const meanSquaredError = (a: Picture, b: Picture): number => meanOf(a, b, "meanSquaredError", (x) => x * x);

/** Peak signal to noise in dB: 10 log10(peak² / MSE); infinite for equal pictures. */
export const psnr = (a: Picture, b: Picture, peak = 1): number =>
  10 * Math.log10(peak ** 2 / meanOf(a, b, "psnr", (x) => x * x));

function meanOf(a: Picture, b: Picture, where: string, of: (x: number) => number, mask?: ArrayLike<number>): number {
  sameSize(a, b, where);
  const size = a.height * a.width;
  if (mask && mask.length !== size) fail("shape", `${where}: a mask of ${mask.length} places for ${size} pixels`);
  let [sum, count] = [0, 0];
  for (let i = 0; i < a.data.length; i++) {
    if (mask && mask[i % size] === 0) continue;
    sum += of((a.data[i] as number) - (b.data[i] as number));
    count++;
  }
  if (count === 0) return fail("argument", `${where}: there is nothing to compare`);
  return sum / count;
}

const radius = 5;
const taps = Array.from({ length: 2 * radius + 1 }, (_, i) => Math.exp(-((i - radius) ** 2) / (2 * 1.5 ** 2)));
const total = taps.reduce((a, b) => a + b, 0);
const kernel = taps.map((tap) => tap / total);

/**
 * Structural similarity, mean over channels and over all places where the whole window fits:
 *
 *   (2 μa μb + C1)(2 σab + C2) / ((μa² + μb² + C1)(σa² + σb² + C2)),  C1 = (0.01 peak)², C2 = (0.03 peak)²
 *
 * Window: Gaussian, 11 x 11, σ = 1.5, biased covariances; scikit-image's `structural_similarity` with
 * gaussian_weights=True and use_sample_covariance=False, and pytorch-msssim's `ssim` (Image Quality Assessment: From
 * Error Visibility to Structural Similarity, 2004).
 *
 * @throws LayerwiseError "shape" for different sizes or sides below 11.
 */
export function ssim(a: Picture, b: Picture, peak = 1): number {
  sameSize(a, b, "ssim");
  if (Math.min(a.height, a.width) < kernel.length)
    fail("shape", `ssim: ${a.height}x${a.width}; expected at least ${kernel.length}x${kernel.length}`);
  const [c1, c2] = [(0.01 * peak) ** 2, (0.03 * peak) ** 2];
  const size = a.height * a.width;
  let [sum, count] = [0, 0];
  for (let c = 0; c < a.channels; c++) {
    const x = Float64Array.from(a.data.subarray(c * size, (c + 1) * size));
    const y = Float64Array.from(b.data.subarray(c * size, (c + 1) * size));
    const product = (p: Float64Array, q: Float64Array): Float64Array => p.map((value, i) => value * (q[i] as number));
    const [mx, my, xx, yy, xy] = [x, y, product(x, x), product(y, y), product(x, y)].map((plane) =>
      smooth(plane, a.height, a.width),
    ) as [Float64Array, Float64Array, Float64Array, Float64Array, Float64Array];
    for (let i = 0; i < mx.length; i++) {
      const [p, q] = [mx[i] as number, my[i] as number];
      const [vx, vy, cov] = [(xx[i] as number) - p * p, (yy[i] as number) - q * q, (xy[i] as number) - p * q];
      sum += ((2 * p * q + c1) * (2 * cov + c2)) / ((p * p + q * q + c1) * (vx + vy + c2));
      count++;
    }
  }
  return sum / count;
}

/** Gaussian means where the window fits: [height − 10, width − 10]. */
function smooth(plane: Float64Array, height: number, width: number): Float64Array {
  const columns = width - 2 * radius;
  const rows = Float64Array.from({ length: height * columns }, (_, i) => {
    const start = Math.floor(i / columns) * width + (i % columns);
    return kernel.reduce((sum, tap, k) => sum + tap * (plane[start + k] as number), 0);
  });
  return Float64Array.from({ length: (height - 2 * radius) * columns }, (_, i) =>
    kernel.reduce((sum, tap, k) => sum + tap * (rows[i + k * columns] as number), 0),
  );
}

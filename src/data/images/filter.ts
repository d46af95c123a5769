import { type Border, drawPicture, type Picture, within } from "./picture.js";

/** One weight at an offset from the pixel. */
export interface Tap {
  readonly dy: number;
  readonly dx: number;
  readonly weight: number;
}

/** Σ weight · x(row + dy, column + dx), per channel. */
export function correlate(image: Picture, taps: readonly Tap[], border: Border): Picture {
  const { channels, height, width, data } = image;
  return drawPicture(channels, height, width, (c, y, x) =>
    taps.reduce((sum, { dy, dx, weight }) => {
      const row = c * height + within(y + dy, height, border);
      return sum + weight * (data[row * width + within(x + dx, width, border)] as number);
    }, 0),
  );
}

/** exp(−i² / 2σ²) for i from −radius to radius, with sum 1. */
export function gaussianTaps(sigma: number, radius: number): number[] {
  const raw = Array.from({ length: 2 * radius + 1 }, (_, i) =>
    i === radius ? 1 : Math.exp(-((i - radius) ** 2) / (2 * sigma ** 2)),
  );
  const sum = raw.reduce((a, b) => a + b, 0);
  return raw.map((x) => x / sum);
}

/** Gaussian blur cut off at `truncate` deviations (SciPy's radius: whole part of truncate · sigma + 0.5). */
export function gaussianBlur(image: Picture, sigma: number, border: Border, truncate = 4): Picture {
  const radius = Math.floor(truncate * sigma + 0.5);
  if (radius === 0) return image;
  const weights = gaussianTaps(sigma, radius);
  const rows = weights.map((weight, i) => ({ dy: i - radius, dx: 0, weight }));
  const columns = weights.map((weight, i) => ({ dy: 0, dx: i - radius, weight }));
  return correlate(correlate(image, rows, border), columns, border);
}

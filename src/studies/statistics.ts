/** The few statistics that verdicts need. Samples are one number per seed. */

export const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** Sample standard deviation / √n; null for one value. */
export function standardError(values: readonly number[]): number | null {
  if (values.length < 2) return null;
  const centre = mean(values);
  const variance = values.reduce((sum, v) => sum + (v - centre) ** 2, 0) / (values.length - 1);
  return Math.sqrt(variance / values.length);
}

/** P(T > t) of Student's t with `df` degrees of freedom. */
export function studentTail(t: number, df: number): number {
  const x = df / (df + t * t);
  const half = 0.5 * incompleteBeta(x, df / 2, 0.5);
  return t >= 0 ? half : 1 - half;
}

/**
 * One-sided p-value that the mean of `values` is above `threshold` only by chance (t-test on the values; for paired
 * samples give their differences). null for fewer than two values or values that are not finite.
 */
export function pAbove(values: readonly number[], threshold = 0): number | null {
  const error = standardError(values);
  if (error === null || !values.every(Number.isFinite)) return null;
  if (error === 0) return mean(values) > threshold ? 0 : 1;
  return studentTail((mean(values) - threshold) / error, values.length - 1);
}

/** I_x(a, b), by its continued fraction (Lentz's method), on the side where it converges fast. */
function incompleteBeta(x: number, a: number, b: number): number {
  if (x <= 0 || x >= 1) return x <= 0 ? 0 : 1;
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(1 - x, b, a);
  const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log(1 - x)) / a;
  const guard = (v: number) => (Math.abs(v) < 1e-300 ? 1e-300 : v);
  let [c, d] = [1, 1 / guard(1 - ((a + b) * x) / (a + 1))];
  let fraction = d;
  for (let m = 1; m < 300; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / guard(1 + even * d);
    c = guard(1 + even / c);
    fraction *= d * c;
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / guard(1 + odd * d);
    c = guard(1 + odd / c);
    fraction *= d * c;
    if (Math.abs(d * c - 1) < 1e-15) break;
  }
  return front * fraction;
}

/** Lanczos's approximation, to about 1e-15. */
function logGamma(x: number): number {
  const g = [
    676.5203681218851, -1259.1392167224028, 771.3234287776531, -176.6150291621406, 12.507343278686905,
    -0.13857109526572012, 9.984369578019572e-6, 1.5056327351493116e-7,
  ];
  if (x < 0.5) return Math.log(Math.PI / Math.sin(Math.PI * x)) - logGamma(1 - x);
  const z = x - 1;
  const sum = g.reduce((s, coefficient, i) => s + coefficient / (z + i + 1), 0.9999999999998099);
  const t = z + g.length - 0.5;
  return 0.5 * Math.log(2 * Math.PI) + (z + 0.5) * Math.log(t) - t + Math.log(sum);
}

import { formatShape, type NDArray, sameShape } from "../../src/tensor/index.js";

/**
 * What differs between two arrays, as a sentence; "" when nothing does. Floats are compared relative to the largest
 * finite magnitude of the expected array (at least `floor`), integers, NaN and infinities exactly.
 */
export function difference(actual: NDArray, expected: NDArray, tolerance: number, floor = 1e-3): string {
  if (!sameShape(actual.shape, expected.shape))
    return `shape ${formatShape(actual.shape)}, expected ${formatShape(expected.shape)}`;
  if (actual.dtype !== expected.dtype) return `dtype ${actual.dtype}, expected ${expected.dtype}`;
  const [a, e] = [actual.toNumbers(), expected.toNumbers()];
  const exact = !expected.dtype.startsWith("float");
  const scale = e.reduce((largest, x) => (Number.isFinite(x) ? Math.max(largest, Math.abs(x)) : largest), floor);
  const wrong = e.findIndex((x, i) => {
    const y = a[i] as number;
    if (Object.is(x, y) || x === y) return false;
    if (exact || !Number.isFinite(x) || !Number.isFinite(y)) return true;
    return Math.abs(x - y) > tolerance * scale;
  });
  if (wrong < 0) return "";
  const worst = e.reduce((m, x, i) => Math.max(m, Math.abs(x - (a[i] as number))), 0);
  return `element ${wrong} is ${a[wrong]}, expected ${e[wrong]} (largest difference ${worst}, ${worst / scale} of the largest magnitude)`;
}

/**
 * Running mean over a centred window of `size` points. At the start, where curves are steep, the window shrinks on both
 * sides alike so that it does not drag them; at the end, where they are flat, it is only cut. A null stays null and
 * counts in no window.
 */
export function smooth(values: readonly (number | null)[], size: number): (number | null)[] {
  const half = Math.floor((size - 1) / 2);
  return values.map((value, i) => {
    if (value === null || !Number.isFinite(value)) return null;
    const reach = Math.min(half, i);
    return meanOf(values.slice(i - reach, i + reach + 1));
  });
}

/** Mean of the finite values; null when there are none. */
export function meanOf(values: readonly (number | null | undefined)[]): number | null {
  let sum = 0;
  let count = 0;
  for (const value of values) {
    if (typeof value !== "number" || !Number.isFinite(value)) continue;
    sum += value;
    count++;
  }
  return count === 0 ? null : sum / count;
}

export type Point = readonly [x: number, y: number | null];

/**
 * At most about `limit` points that look the same: of each bucket the lowest and the highest point are kept, in order,
 * so that a spike of one step survives. A bucket that holds a null keeps it, since it is a gap in the curve.
 */
export function thin(points: readonly Point[], limit: number): Point[] {
  if (points.length <= limit) return [...points];
  const size = Math.ceil((points.length * 2) / limit);
  const kept: Point[] = [];
  for (let start = 0; start < points.length; start += size) kept.push(...extremes(points.slice(start, start + size)));
  return kept;
}

function extremes(bucket: readonly Point[]): Point[] {
  const gap = bucket.find(([, y]) => y === null);
  const drawn = bucket.filter((p): p is readonly [number, number] => p[1] !== null);
  const [first] = drawn;
  if (!first) return gap ? [gap] : [];
  let [low, high] = [first, first];
  for (const point of drawn) {
    if (point[1] < low[1]) low = point;
    if (point[1] > high[1]) high = point;
  }
  const kept: Point[] = low === high ? [low] : [low, high];
  return [...kept, ...(gap ? [gap] : [])].sort((a, b) => a[0] - b[0]);
}

import * as Plot from "@observablehq/plot";
import { finite } from "../axis.js";
import { formatNumber } from "../format.js";
import { createPalette } from "../palette.js";
import { draw, softInk } from "../svg.js";
import type { FigureSize } from "./lines.js";
import { type Point, thin } from "./smoothing.js";

/** A word-sized curve with a dot at its end: shape only, so it has no axes. */
export function sparkline(
  values: readonly (number | null)[],
  { key, label }: { key?: string; label: string },
  size: FigureSize,
): string {
  const { width, height = 24, palette = createPalette(), id = "sparkline" } = size;
  const points = thin(
    values.map((value, i): Point => [i, finite([value])[0] ?? null]),
    width * 2,
  );
  const end = points.findLast(([, y]) => y !== null);
  const stroke = key === undefined ? softInk : palette(key);
  const [first, last] = [finite(values)[0] ?? null, finite(values).at(-1) ?? null];
  return draw(
    {
      width,
      height,
      margin: 4,
      axis: null,
      x: { domain: [0, Math.max(1, values.length - 1)] },
      marks: [
        Plot.line(points, { x: "0", y: "1", stroke, strokeWidth: 1.5 }),
        Plot.dot(end ? [end] : [], { x: "0", y: "1", r: 2.5, fill: stroke }),
      ],
    },
    { id, title: label, description: `From ${formatNumber(first)} to ${formatNumber(last)}.` },
  );
}

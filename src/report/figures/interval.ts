import * as Plot from "@observablehq/plot";
import type { Claim, Measurement } from "../../catalogue/claim.js";
import { finite } from "../axis.js";
import { formatMeasurement } from "../format.js";
import { draw, ink, softInk } from "../svg.js";
import type { FigureSize } from "./lines.js";

/**
 * Baseline (hollow, above) and measured (filled, below) with their standard errors, on one linear scale: how far apart
 * the two are compared with how sure they are. No axis: the numbers stand beside it in the table.
 */
export function interval({ metric, baseline, measured }: Claim, size: FigureSize): string {
  const { width, height = 30, id = "interval" } = size;
  const sides = [
    { ...bounds(baseline), row: 1, fill: "var(--page, white)" },
    { ...bounds(measured), row: 0, fill: ink },
  ].filter((side) => Number.isFinite(side.mean));
  const all = finite(sides.flatMap(({ low, high }) => [low, high]));
  const domain = all.length > 0 ? [Math.min(...all), Math.max(...all)] : [0, 1];
  const said = (side: Measurement): string => `${side.label} ${formatMeasurement(side)}`;
  return draw(
    {
      width,
      height,
      marginTop: 8,
      marginBottom: 8,
      marginLeft: 8,
      marginRight: 8,
      axis: null,
      x: { type: "linear", domain: domain[0] === domain[1] ? [Number(domain[0]) - 1, Number(domain[1]) + 1] : domain },
      y: { type: "linear", domain: [0, 1] },
      color: { type: "identity" },
      marks: [
        Plot.ruleY(sides, { x1: "low", x2: "high", y: "row", stroke: softInk, strokeWidth: 2 }),
        Plot.dot(sides, { x: "mean", y: "row", r: 4, fill: "fill", stroke: ink, strokeWidth: 1.5 }),
      ],
    },
    { id, title: metric, description: `${said(baseline)}; ${said(measured)}.` },
  );
}

function bounds({ mean, standardError }: Measurement): { mean: number; low: number; high: number } {
  const middle = mean ?? Number.NaN;
  const error = standardError ?? 0;
  return { mean: middle, low: middle - error, high: middle + error };
}

import * as Plot from "@observablehq/plot";
import type { BarPanel, BarsFigure } from "../../studies/study-report.js";
import { finite, type ResolvedAxis, resolveAxis } from "../axis.js";
import { axisTitle, formatNumber } from "../format.js";
import { createPalette } from "../palette.js";
import { draw, gridInk, ink, softInk } from "../svg.js";
import { type FigureSize, leftMargin } from "./lines.js";
import { panelName } from "./panel.js";

/** The scale all panels share, so that bars compare across them. */
export function barValues(figure: BarsFigure): ResolvedAxis {
  const tops = figure.panels.flatMap(({ values, errors }) =>
    values.flatMap((v, i) => [v, (v ?? 0) + (errors?.[i] ?? 0)]),
  );
  return resolveAxis(figure.y, finite(tops), { zero: true, ticks: 4 });
}

/** One bar per layer from zero, with its standard error as a line. A layer without a value has a cross at zero. */
export function bars(figure: BarsFigure, panel: BarPanel, size: FigureSize): string {
  const { width, height = Math.round(width * 0.58), palette = createPalette(), id = "bars" } = size;
  const y = barValues(figure);
  const bar = panel.values.map((value, layer) => {
    const [v] = finite([value]);
    const error = finite([panel.errors?.[layer]])[0] ?? 0;
    return { layer, value: v, low: (v ?? 0) - error, high: (v ?? 0) + error, error };
  });
  const quiet = { color: softInk, tickSize: 0, tickPadding: 6, labelArrow: "none" } as const;
  const x = resolveAxis({ label: "" }, [0, bar.length - 1], { exact: true, integers: true, ticks: 6 });
  return draw(
    {
      width,
      height,
      marginTop: 46,
      marginRight: 10,
      marginBottom: 40,
      marginLeft: leftMargin(y),
      x: { type: "linear", domain: [-0.6, bar.length - 0.4] },
      y: y.scale,
      color: { type: "identity" },
      marks: [
        Plot.gridY(y.ticks, { stroke: gridInk, strokeOpacity: 1 }),
        ...panelName(panel, palette, { dx: -leftMargin(y), dy: -34 }),
        Plot.rect(
          bar.filter(({ value }) => value !== undefined),
          {
            x1: ({ layer }) => layer - 0.36,
            x2: ({ layer }) => layer + 0.36,
            y1: () => 0,
            y2: "value",
            fill: palette(panel.key),
            clip: true,
          },
        ),
        Plot.ruleX(
          bar.filter(({ value, error }) => value !== undefined && error > 0),
          { x: "layer", y1: "low", y2: "high", stroke: ink, strokeWidth: 1.25, clip: true },
        ),
        Plot.ruleY([0], { stroke: softInk }),
        Plot.dot(
          bar.filter(({ value }) => value === undefined),
          { x: "layer", y: () => 0, symbol: "times", stroke: softInk, r: 4 },
        ),
        Plot.axisX(x.ticks, {
          ...quiet,
          tickFormat: "d",
          label: axisTitle(figure.x),
          labelAnchor: "center",
          labelOffset: 36,
        }),
        Plot.axisY(y.ticks, { ...quiet, tickFormat: y.format, label: null }),
        Plot.text([axisTitle(figure.y)], {
          frameAnchor: "top-left",
          dx: 2 - leftMargin(y),
          dy: -14,
          textAnchor: "start",
          lineAnchor: "middle",
          fill: softInk,
        }),
      ],
    },
    { id, title: `${figure.title}: ${panel.name}`, description: describe(figure, panel) },
  );
}

function describe(figure: BarsFigure, { values }: BarPanel): string {
  const largest = values.reduce<number>(
    (best, v, i) => ((v ?? Number.NEGATIVE_INFINITY) > (values[best] ?? Number.NEGATIVE_INFINITY) ? i : best),
    0,
  );
  return `${axisTitle(figure.y)} by ${axisTitle(figure.x)}. Largest at ${largest}: ${formatNumber(values[largest] ?? null)}.`;
}

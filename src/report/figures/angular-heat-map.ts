import * as Plot from "@observablehq/plot";
import type { AngularFigure, Panel } from "../../studies/study-report.js";
import { finite, type ResolvedAxis, resolveAxis } from "../axis.js";
import { formatNumber } from "../format.js";
import { createPalette } from "../palette.js";
import { draw, softInk } from "../svg.js";
import type { FigureSize } from "./lines.js";
import { cells, panelName, positionOn } from "./panel.js";

/** What its colours mean, for all panels: distance 0 (same direction) up to the largest one measured. */
export function angularValues(figure: AngularFigure): ResolvedAxis {
  const all = finite(figure.panels.flatMap((panel) => panel.values.flat()));
  return resolveAxis({ label: "angular distance", min: 0 }, all, { exact: true, ticks: 4 });
}

/**
 * Angular distance between the stream at layer l and at layer l + gap: column l, row gap. Only cells with
 * l + gap ≤ number of layers exist, so the picture is a triangle. Light low rows at the right: deep layers that hardly
 * turn the stream.
 */
export function angularHeatMap(figure: AngularFigure, panel: Panel, size: FigureSize): string {
  const { width, height = Math.round(width * 0.8), palette = createPalette(), id = "angular-heat-map" } = size;
  const layers = panel.values.length;
  const x = { centres: Array.from({ length: layers }, (_, layer) => layer) };
  const y = { centres: Array.from({ length: layers }, (_, row) => row + 1) };
  const edges = {
    x: [...x.centres.map((c) => c - 0.5), layers - 0.5],
    y: [...y.centres.map((c) => c - 0.5), layers + 0.5],
  };
  const quiet = { color: softInk, tickSize: 3, tickPadding: 4, labelArrow: "none" } as const;
  const ticks = (centres: readonly number[]) =>
    resolveAxis({ label: "" }, centres, { exact: true, integers: true, ticks: 6 }).ticks;
  return draw(
    {
      width,
      height,
      marginTop: 28,
      marginRight: 10,
      marginBottom: 40,
      marginLeft: 44,
      x: { type: "linear", domain: [-0.5, layers - 0.5] },
      y: { type: "linear", domain: [0.5, layers + 0.5] },
      color: { type: "identity" },
      marks: [
        ...panelName(panel, palette),
        cells(panel, edges, positionOn(angularValues(figure)), (row, column) => row + 1 + column > layers),
        Plot.axisX(ticks(x.centres), {
          ...quiet,
          tickFormat: "d",
          label: "from layer",
          labelAnchor: "center",
          labelOffset: 36,
        }),
        Plot.axisY(ticks(y.centres), {
          ...quiet,
          tickFormat: "d",
          label: "layers further (gap)",
          labelAnchor: "center",
          labelOffset: 38,
        }),
      ],
    },
    { id, title: `${figure.title}: ${panel.name}`, description: describe(panel) },
  );
}

function describe({ values }: Panel): string {
  const neighbours = finite(values[0] ?? []);
  const [first, last] = [neighbours[0] ?? null, neighbours.at(-1) ?? null];
  return `Angular distance by first layer and gap. Between neighbouring layers it goes from ${formatNumber(first)} at the first to ${formatNumber(last)} at the last.`;
}

import type { AngularFigure, Panel } from "../../studies/study-report.js";
import { finite, type ResolvedAxis, resolveAxis } from "../axis.js";
import { formatNumber } from "../format.js";
import { drawGrid, edgesOf, type GridAxis } from "./grid.js";
import type { FigureSize } from "./lines.js";

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
  const { width, height = Math.round(width * 0.8), id = "angular-heat-map" } = size;
  const layers = panel.values.length;
  const axis = (title: string, first: number): GridAxis => {
    const centres = Array.from({ length: layers }, (_, i) => first + i);
    const resolved = resolveAxis({ label: title }, centres, { exact: true, integers: true, ticks: 6 });
    return { title, edges: edgesOf(centres), axis: resolved };
  };
  return drawGrid(
    {
      panel,
      x: axis("from layer", 0),
      y: axis("layers further (gap)", 1),
      value: angularValues(figure),
      absent: (row, column) => row + 1 + column > layers,
    },
    { ...size, height },
    { id, title: `${figure.title}: ${panel.name}`, description: describe(panel) },
  );
}

function describe({ values }: Panel): string {
  const neighbours = finite(values[0] ?? []);
  const [first, last] = [neighbours[0] ?? null, neighbours.at(-1) ?? null];
  return `Angular distance by first layer and gap. Between neighbouring layers it goes from ${formatNumber(first)} at the first to ${formatNumber(last)} at the last.`;
}

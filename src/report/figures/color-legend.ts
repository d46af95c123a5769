import * as Plot from "@observablehq/plot";
import type { ResolvedAxis } from "../axis.js";
import { colorAt, colorSteps } from "../color-map.js";
import { draw, softInk } from "../svg.js";
import type { FigureSize } from "./lines.js";

/** The strip of colours of a heat map with its values, drawn once per figure, above the panels it holds for. */
export function colorLegend(label: string, axis: ResolvedAxis, size: FigureSize): string {
  const { width, height = 46, id = "color-legend" } = size;
  const scale = Plot.scale({ x: { ...axis.scale, range: [0, 1] } });
  const edge = (i: number): number => Number(scale.invert?.(i / colorSteps));
  const strip = Array.from({ length: colorSteps }, (_, i) => ({
    from: edge(i),
    to: edge(i + 1),
    fill: colorAt((i + 0.5) / colorSteps),
  }));
  return draw(
    {
      width,
      height,
      marginTop: 18,
      marginBottom: 18,
      marginLeft: 44,
      marginRight: 16,
      x: axis.scale,
      y: { axis: null },
      color: { type: "identity" },
      marks: [
        Plot.rect(strip, { x1: "from", x2: "to", fill: "fill", inset: -0.25, shapeRendering: "crispEdges" }),
        Plot.axisX(axis.ticks, { color: softInk, tickSize: 3, tickPadding: 3, tickFormat: axis.format, label: null }),
        Plot.text([label], {
          frameAnchor: "top-left",
          dy: -10,
          textAnchor: "start",
          lineAnchor: "middle",
          fontWeight: 600,
        }),
      ],
    },
    {
      id,
      title: `Colours of ${label}`,
      description: `From ${axis.format(axis.domain[0])} to ${axis.format(axis.domain[1])}, ${axis.scale.type} scale.`,
    },
  );
}

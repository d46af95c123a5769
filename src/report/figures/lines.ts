import * as Plot from "@observablehq/plot";
import type { LinesFigure, Series } from "../../studies/study-report.js";
import { finite, type ResolvedAxis, resolveAxis } from "../axis.js";
import { axisTitle, formatNumber } from "../format.js";
import { createPalette, type Palette } from "../palette.js";
import { type Alternative, draw, gridInk, softInk, textWidth } from "../svg.js";
import { placeLabels } from "./end-labels.js";
import { meanOf, type Point, smooth, thin } from "./smoothing.js";

export interface FigureSize {
  readonly width: number;
  readonly height?: number;
  readonly palette?: Palette;
  readonly id?: string;
}

interface Curve {
  readonly series: Series;
  readonly raw: readonly (readonly Point[])[];
  readonly mean: readonly Point[];
}

/**
 * Curves with their names at their right ends instead of in a legend. Every run is drawn faintly; the strong line is
 * the running mean of the mean over runs. Where one run has no value the mean has none either: a diverged run is not
 * averaged away.
 */
export function lines(figure: LinesFigure, size: FigureSize): string {
  const { width, height = Math.round(Math.max(260, width * 0.4)), palette = createPalette() } = size;
  const curves = figure.series.map((series) => curve(series, figure.smooth ?? 1, width));
  const places = finite(figure.series.flatMap((s) => s.runs.flatMap((r) => r.x)));
  const x = resolveAxis(figure.x, places, {
    exact: true,
    integers: places.every(Number.isInteger),
    ticks: width < 500 ? 4 : 8,
  });
  const drawn = curves.flatMap(({ raw, mean }) => [...raw.flat(), ...mean]).map(([, value]) => value);
  const y = resolveAxis(figure.y, finite(drawn), { ticks: 5 });
  const names = curves.map(({ series }) => textWidth(series.name));
  const margin = { top: 26, right: Math.ceil(Math.max(...names, 0)) + 20, bottom: 40, left: leftMargin(y) };
  return draw(
    {
      width,
      height,
      marginTop: margin.top,
      marginRight: margin.right,
      marginBottom: margin.bottom,
      marginLeft: margin.left,
      x: x.scale,
      y: { ...y.scale, clamp: false },
      color: { type: "identity" },
      marks: [
        ...axes(x, y, axisTitle(figure.x), axisTitle(figure.y)),
        ...curves.flatMap((c) => strokes(c, palette(c.series.key))),
        ...endLabels(curves, y, height - margin.bottom, margin.top, palette),
      ],
    },
    alternative(figure, curves, size.id ?? "lines"),
  );
}

function curve(series: Series, window: number, width: number): Curve {
  const raw = series.runs.map(({ x, y }) => x.map((at, i): Point => [at, finite([y[i]])[0] ?? null]));
  const longest = series.runs.reduce<readonly number[]>((a, { x }) => (x.length > a.length ? x : a), []);
  const mean = longest.map((_, i) => {
    const values = series.runs.map(({ y }) => finite([y[i]])[0] ?? null);
    return values.includes(null) ? null : meanOf(values);
  });
  const smoothed = smooth(mean, window);
  return {
    series,
    // A single run without smoothing is its own mean: drawn once.
    raw: series.runs.length > 1 || window > 1 ? raw.map((points) => thin(points, width * 0.6)) : [],
    mean: thin(
      longest.map((at, i): Point => [at, smoothed[i] ?? null]),
      width * 0.6,
    ),
  };
}

function strokes({ raw, mean }: Curve, color: string): Plot.Markish[] {
  const shared = { x: "0", y: "1", stroke: color, clip: true } as const;
  return [
    ...raw.map((points) => Plot.line(points, { ...shared, strokeWidth: 1, strokeOpacity: 0.28 })),
    Plot.line(mean, { ...shared, strokeWidth: 2.25 }),
  ];
}

/** Names at the ends, moved apart where they would collide, with a thin leader to the curve when moved. */
function endLabels(
  curves: readonly Curve[],
  y: ResolvedAxis,
  bottom: number,
  top: number,
  palette: Palette,
): Plot.Markish[] {
  const scale = Plot.scale({ y: { ...y.scale, range: [bottom, top] } });
  const ends = curves.flatMap(({ series, mean }) => {
    const last = mean.findLast(([, value]) => value !== null);
    return last && last[1] !== null ? [{ series, x: last[0], value: last[1] }] : [];
  });
  const labels = ends.map(({ series, value }) => {
    const pixel = Math.min(bottom, Math.max(top, Number(scale.apply(value))));
    return { text: series.name, key: series.key, y: pixel };
  });
  return placeLabels(labels, 15, top + 4, bottom - 4).map((label) =>
    Plot.text([label], {
      frameAnchor: "top-right",
      dx: 8,
      dy: label.at - top,
      textAnchor: "start",
      lineAnchor: "middle",
      text: "text",
      fill: palette(label.key),
      fontWeight: 600,
    }),
  );
}

/** The axes all figures share: a light horizontal grid, quiet tick labels, titles at the ends. */
export function axes(x: ResolvedAxis, y: ResolvedAxis, xTitle: string, yTitle: string): Plot.Markish[] {
  const quiet = { color: softInk, tickSize: 0, tickPadding: 6 } as const;
  return [
    Plot.gridY(y.ticks, { stroke: gridInk, strokeOpacity: 1 }),
    Plot.axisX(x.ticks, {
      ...quiet,
      tickFormat: x.format,
      label: xTitle,
      labelArrow: "none",
      labelAnchor: "center",
      labelOffset: 36,
    }),
    Plot.axisY(y.ticks, { ...quiet, tickFormat: y.format, label: yTitle, labelArrow: "none", labelAnchor: "top" }),
  ];
}

export function leftMargin(y: ResolvedAxis): number {
  return Math.ceil(Math.max(...y.ticks.map((tick) => textWidth(y.format(tick))), 10)) + 14;
}

function alternative(figure: LinesFigure, curves: readonly Curve[], id: string): Alternative {
  const ends = curves.map(({ series, mean }) => {
    const value = mean.at(-1)?.[1] ?? null;
    return `${series.name} ${value === null ? "without a value" : formatNumber(value)}`;
  });
  const description = `${axisTitle(figure.y)} over ${axisTitle(figure.x)}. At the end: ${ends.join(", ")}.`;
  return { id, title: figure.title, description };
}

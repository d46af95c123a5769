import type { HeatMapFigure, Panel } from "../../studies/study-report.js";
import { finite, type ResolvedAxis, resolveAxis } from "../axis.js";
import { axisTitle, formatNumber } from "../format.js";
import { textWidth } from "../svg.js";
import { drawGrid, edgesOf } from "./grid.js";
import type { FigureSize } from "./lines.js";
import { meanOf } from "./smoothing.js";

/** More columns than this are averaged: a cell should stay wide enough to be seen. */
const mostColumns = 64;

/** The value axis all panels of a heat map share; a colour means the same in each. */
export function heatMapValues(figure: HeatMapFigure): ResolvedAxis {
  return resolveAxis(figure.value, finite(figure.panels.flatMap((panel) => panel.values.flat())), {
    exact: true,
    ticks: 4,
  });
}

/** One panel: layers upward, steps to the right, colour for the value. Cells without a value are grey. */
export function heatMap(figure: HeatMapFigure, panel: Panel, size: FigureSize): string {
  const { width, id = "heat-map" } = size;
  const { columns, values } = fewer(figure.columns, panel.values);
  const x = resolveAxis(figure.x, [...columns], { exact: true, ticks: 4 });
  const y = resolveAxis(figure.y, [...figure.rows], { exact: true, ticks: 6, integers: true });
  const [names, rowNames] = [columns === figure.columns ? figure.columnNames : undefined, figure.rowNames];
  const height =
    size.height ?? Math.round(width * 0.66) + roomFor(names) + (rowNames ? Math.min(240, 6 * rowNames.length) : 0);
  return drawGrid(
    {
      panel: { ...panel, values },
      x: { title: axisTitle(figure.x), edges: edgesOf(columns), ...named(x, columns, names) },
      y: {
        title: axisTitle(figure.y),
        edges: edgesOf(figure.rows),
        ...named(y, figure.rows, rowNames),
        downward: figure.downward ?? false,
      },
      value: heatMapValues(figure),
    },
    { ...size, height },
    { id, title: `${figure.title}: ${panel.name}`, description: describe(figure, panel) },
  );
}

/** More names than this would overlap: every second, third, … is written. */
const mostNames = 24;

const roomFor = (names: readonly string[] | undefined): number =>
  names ? Math.min(72, Math.ceil(Math.max(...names.map((name) => textWidth(name)), 20)) - 16) : 0;

/** An axis with names at its places. */
function named(axis: ResolvedAxis, places: readonly number[], names: readonly string[] | undefined) {
  if (!names) return { axis };
  const step = Math.ceil(places.length / mostNames);
  const ticks = places.filter((_, i) => i % step === 0);
  const format = (value: number): string => short(names[places.indexOf(value)] ?? "");
  return { axis: { ...axis, ticks, format }, room: roomFor(names) };
}

const short = (name: string): string => ([...name].length > 11 ? `${[...name].slice(0, 10).join("")}…` : name);

function fewer(
  columns: readonly number[],
  values: Panel["values"],
): Pick<HeatMapFigure, "columns"> & Pick<Panel, "values"> {
  const size = Math.ceil(columns.length / mostColumns);
  if (size <= 1) return { columns, values };
  const chunks = Array.from({ length: Math.ceil(columns.length / size) }, (_, i) => i * size);
  return {
    columns: chunks.map((start) => meanOf(columns.slice(start, start + size)) ?? start),
    values: values.map((row) => chunks.map((start) => meanOf(row.slice(start, start + size)))),
  };
}

function describe(figure: HeatMapFigure, { values }: Panel): string {
  const all = finite(values.flat());
  const what = `${axisTitle(figure.value)} by ${axisTitle(figure.y)} and ${axisTitle(figure.x)}`;
  if (all.length === 0) return `${what}; no values.`;
  const last = values.map((row) => row.at(-1) ?? null);
  const [bottom, top] = [last[0] ?? null, last.at(-1) ?? null];
  const range = `from ${formatNumber(Math.min(...all))} to ${formatNumber(Math.max(...all))}`;
  return `${what}, ${range}; in the last column ${formatNumber(bottom)} at the first row and ${formatNumber(top)} at the last.`;
}

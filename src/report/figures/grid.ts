import * as Plot from "@observablehq/plot";
import type { Panel } from "../../studies/study-report.js";
import { finite, type ResolvedAxis } from "../axis.js";
import { colorAt } from "../color-map.js";
import { createPalette } from "../palette.js";
import { type Alternative, draw, missingFill, softInk } from "../svg.js";
import type { FigureSize } from "./lines.js";
import { panelName } from "./panel.js";

/** A rectangle of coloured cells between two axes: the frame both kinds of heat map share. */
export interface Grid {
  readonly panel: Panel;
  readonly x: GridAxis;
  readonly y: GridAxis;
  /** What a colour means. */
  readonly value: ResolvedAxis;
  /** Cells that do not exist, as opposed to cells without a value. */
  readonly absent?: (row: number, column: number) => boolean;
}

export interface GridAxis {
  readonly title: string;
  /** One more than there are columns or rows. */
  readonly edges: readonly number[];
  readonly axis: ResolvedAxis;
  /** Room for what is written at it, in pixels, where that is more than a number. */
  readonly room?: number;
  /** The first row on top. */
  readonly downward?: boolean;
}

export function drawGrid(grid: Grid, size: FigureSize & { readonly height: number }, alternative: Alternative): string {
  const { width, height, palette = createPalette() } = size;
  const { panel, x, y } = grid;
  const label = ({ title, axis }: GridAxis, labelOffset: number) =>
    ({ tickFormat: axis.format, label: title, labelOffset, labelAnchor: "center", labelArrow: "none" }) as const;
  const quiet = { color: softInk, tickSize: 3, tickPadding: 4 } as const;
  return draw(
    {
      width,
      height,
      marginTop: 28,
      marginRight: 10,
      marginBottom: 40 + (x.room ?? 0),
      marginLeft: 44 + (y.room ?? 0),
      x: { type: "linear", domain: ends(x.edges) },
      y: { type: "linear", domain: ends(y.edges), reverse: y.downward ?? false },
      color: { type: "identity" },
      marks: [
        ...panelName(panel, palette),
        cells(grid),
        Plot.axisX(x.axis.ticks, {
          ...quiet,
          ...label(x, 36 + (x.room ?? 0)),
          ...(x.room !== undefined && { tickRotate: -90 }),
        }),
        Plot.axisY(y.axis.ticks, { ...quiet, ...label(y, 38 + (y.room ?? 0)) }),
      ],
    },
    alternative,
  );
}

const ends = (edges: readonly number[]): [number, number] => [edges[0] ?? 0, edges.at(-1) ?? 1];

/** Edges half-way between neighbouring centres. */
export function edgesOf(centres: readonly number[]): number[] {
  const at = (i: number): number => centres[i] ?? 0;
  const last = centres.length - 1;
  if (last < 1) return [at(0) - 0.5, at(0) + 0.5];
  const inner = centres.slice(1).map((centre, i) => (at(i) + centre) / 2);
  return [at(0) - (at(1) - at(0)) / 2, ...inner, at(last) + (at(last) - at(last - 1)) / 2];
}

/** Where a value lies on a value axis, 0 to 1; undefined for what has no place on it (missing, or ≤ 0 on a log axis). */
function positionOn(axis: ResolvedAxis): (value: number | null) => number | undefined {
  const scale = Plot.scale({ x: { ...axis.scale, range: [0, 1] } });
  const lowest = axis.scale.type === "log" ? 0 : Number.NEGATIVE_INFINITY;
  return (value) => {
    const [v] = finite([value]);
    return v === undefined || v <= lowest ? undefined : Number(scale.apply(v));
  };
}

interface Cell {
  readonly x1: number;
  x2: number;
  readonly y1: number;
  readonly y2: number;
  readonly fill: string;
}

/**
 * The cells as rectangles; neighbours of one colour in a row are one rectangle, which keeps the file small. Absent
 * cells are left out, cells without a value are grey.
 */
function cells({ panel, x, y, value, absent = () => false }: Grid): Plot.Markish {
  const position = positionOn(value);
  const drawn: Cell[] = [];
  for (const [r, row] of panel.values.entries()) {
    let last: Cell | undefined;
    for (const [c, value] of row.entries()) {
      const at = position(value);
      const fill = at === undefined ? missingFill : colorAt(at);
      const right = x.edges[c + 1] ?? c + 1;
      if (absent(r, c)) last = undefined;
      else if (last?.fill === fill) last.x2 = right;
      else {
        last = { x1: x.edges[c] ?? c, x2: right, y1: y.edges[r] ?? r, y2: y.edges[r + 1] ?? r + 1, fill };
        drawn.push(last);
      }
    }
  }
  return Plot.rect(drawn, {
    x1: "x1",
    x2: "x2",
    y1: "y1",
    y2: "y2",
    fill: "fill",
    // A quarter pixel over its neighbours: rounded coordinates leave no gaps.
    inset: -0.25,
    shapeRendering: "crispEdges",
  });
}

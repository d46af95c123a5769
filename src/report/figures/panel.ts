import * as Plot from "@observablehq/plot";
import type { Panel, Subject } from "../../studies/study-report.js";
import { finite, type ResolvedAxis } from "../axis.js";
import { colorAt } from "../color-map.js";
import type { Palette } from "../palette.js";
import { missingFill } from "../svg.js";

/** A panel's name at its top left, after a square in its subject's colour. */
export function panelName({ key, name }: Subject, palette: Palette, { dx = 0, dy = -14 } = {}): Plot.Markish[] {
  return [
    Plot.dot([0], { frameAnchor: "top-left", dx: dx + 4, dy, r: 4.5, symbol: "square", fill: palette(key) }),
    Plot.text([name], {
      frameAnchor: "top-left",
      dx: dx + 14,
      dy,
      textAnchor: "start",
      lineAnchor: "middle",
      fontWeight: 600,
      fontSize: 13,
    }),
  ];
}

/** Where a value lies on a value axis, 0 to 1; undefined for what has no place on it (missing, or ≤ 0 on a log axis). */
export function positionOn(axis: ResolvedAxis): (value: number | null) => number | undefined {
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
 * Cells of a grid as rectangles. `x` and `y` give the edges of columns and rows; neighbours of one colour in a row
 * are one rectangle, which keeps the file small. `absent` cells are left out, missing ones are grey.
 */
export function cells(
  { values }: Panel,
  edges: { readonly x: readonly number[]; readonly y: readonly number[] },
  position: (value: number | null) => number | undefined,
  absent: (row: number, column: number) => boolean = () => false,
): Plot.Markish {
  const drawn: Cell[] = [];
  for (const [r, row] of values.entries()) {
    let last: Cell | undefined;
    for (const [c, value] of row.entries()) {
      const at = position(value);
      const fill = at === undefined ? missingFill : colorAt(at);
      const right = edges.x[c + 1] ?? c + 1;
      if (absent(r, c)) last = undefined;
      else if (last?.fill === fill) last.x2 = right;
      else {
        last = { x1: edges.x[c] ?? c, x2: right, y1: edges.y[r] ?? r, y2: edges.y[r + 1] ?? r + 1, fill };
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

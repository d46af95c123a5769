import * as Plot from "@observablehq/plot";
import type { Subject } from "../../studies/study-report.js";
import type { Palette } from "../palette.js";

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

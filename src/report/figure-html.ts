import type { Axis, Figure, ImagesFigure } from "../studies/study-report.js";
import { finite, type ResolvedAxis } from "./axis.js";
import { angularHeatMap, angularValues } from "./figures/angular-heat-map.js";
import { bars } from "./figures/bars.js";
import { colorLegend } from "./figures/color-legend.js";
import { heatMap, heatMapValues } from "./figures/heat-map.js";
import { type FigureSize, lines } from "./figures/lines.js";
import { axisTitle } from "./format.js";
import { type Html, html, trusted } from "./html.js";
import type { Palette } from "./palette.js";

const panelWidth = 340;

// The style sheet shows the one that fits: text keeps its size on a phone, which one scaled picture could not do.
const curveSizes = [
  ["wide", 1040, 420],
  ["medium", 680, 360],
  ["narrow", 358, 320],
] as const;

/**
 * A figure with its title above, what to see in it beneath, and its panels side by side as far as the page is wide.
 * Curves are drawn in three widths, of which a page shows one.
 */
export function figureHtml(figure: Figure, id: string, palette: Palette): Html {
  return html`<figure id="${id}" class="fig fig-${figure.kind}">
<h3>${figure.title}</h3>
<figcaption>${figure.caption}${fineprint(figure)}</figcaption>
${body(figure, id, palette)}
</figure>
`;
}

function body(figure: Figure, id: string, palette: Palette): Html {
  const size = (i: number): FigureSize => ({ width: panelWidth, palette, id: `${id}-${i}` });
  switch (figure.kind) {
    case "lines":
      return html`${curveSizes.map(([name, width, height]) => {
        const picture = lines(figure, { width, height, palette, id: `${id}-${name}` });
        return html`<div class="${name}">${trusted(picture)}</div>\n`;
      })}`;
    case "heat-map":
      return html`${legend(figure.value, heatMapValues(figure), id, hasMissing(figure.panels))}
${panels(figure.panels.map((panel, i) => heatMap(figure, panel, size(i))))}`;
    case "angular-heat-map":
      return html`${legend({ label: "angular distance", unit: "0 same, 1 opposite" }, angularValues(figure), id, false)}
${panels(figure.panels.map((panel, i) => angularHeatMap(figure, panel, size(i))))}`;
    case "images":
      return imageRows(figure);
    case "bars":
      return panels(figure.panels.map((panel, i) => bars(figure, panel, size(i))));
  }
}

function imageRows({ title, columns, rows }: ImagesFigure): Html {
  const head = columns && html`<tr><td></td>${columns.map((name) => html`<th scope="col">${name}</th>`)}</tr>`;
  return html`<div class="scroll"><table class="images">${head}${rows.map(
    ({ name, images }) =>
      html`<tr><th scope="row">${name}</th>${images.map(
        ({ source, width, height }, i) =>
          html`<td><img src="${source}" width="${width}" height="${height}" alt="${`${title}: ${name}, ${columns?.[i] ?? i + 1}`}"></td>`,
      )}</tr>`,
  )}</table></div>`;
}

const panels = (pictures: readonly string[]): Html => html`<div class="panels">${pictures.map(trusted)}</div>`;

function legend(value: Axis, axis: ResolvedAxis, id: string, missing: boolean): Html {
  const strip = colorLegend(axisTitle(value), axis, { width: panelWidth, id: `${id}-legend` });
  return html`<div class="legend">${trusted(strip)}${missing ? html`<span class="missing">no value</span>` : null}</div>`;
}

function hasMissing(all: readonly { readonly values: readonly (readonly (number | null)[])[] }[]): boolean {
  return all.some(({ values }) => values.some((row) => finite(row).length < row.length));
}

/** How the picture was made, where that is not plain from looking at it. */
function fineprint(figure: Figure): Html | null {
  if (figure.kind !== "lines") return null;
  const runs = Math.max(...figure.series.map((series) => series.runs.length));
  const parts = [
    ...(runs > 1 ? [`mean of ${runs} runs, each run faint behind it`] : []),
    ...((figure.smooth ?? 1) > 1 ? [`running mean over ${figure.smooth} points`] : []),
  ];
  return parts.length > 0 ? html` <span class="fine">Strong line: ${parts.join("; ")}.</span>` : null;
}

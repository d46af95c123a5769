import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import { escapeText, printable } from "./html.js";

/** What a reader who cannot see the picture is told. `id` must be unique on its page. */
export interface Alternative {
  readonly id: string;
  readonly title: string;
  readonly description: string;
}

// One empty document serves all pictures: Plot only makes elements with it and leaves nothing in it.
const { document } = parseHTML("<!doctype html><html><body></body></html>");

/** Text sizes and colours of all figures; the variables are set by the page, the fall-backs serve a lone SVG. */
export const ink = "currentColor";
export const softInk = "var(--ink-2, #565e6c)";
export const gridInk = "var(--grid, #e4e7ec)";
export const missingFill = "var(--missing, #c9ced6)";
export const fontSize = 12;

/**
 * Draws a plot as one SVG element, as text: scalable (a viewBox, no fixed size), with a title and a description for
 * screen readers, coordinates rounded to a tenth of a pixel, and no style element that could reach beyond it.
 */
export function draw(options: Plot.PlotOptions, { id, title, description }: Alternative): string {
  const svg = Plot.plot({ ...options, document, className: "figure", style: { fontSize: `${fontSize}px` } });
  svg.querySelector("style")?.remove();
  for (const name of ["width", "height", "font-size", "style"]) svg.removeAttribute(name);
  for (const group of svg.querySelectorAll("[aria-label]")) group.removeAttribute("aria-label");
  const width = options.width ?? 640;
  const head =
    `<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="${id}-t ${id}-d" class="figure"` +
    ` viewBox="0 0 ${width} ${options.height ?? 400}" style="max-width:${width}px" fill="currentColor"` +
    ` font-family="system-ui, sans-serif" font-size="${fontSize}" text-anchor="middle">` +
    `<title id="${id}-t">${escapeText(title)}</title><desc id="${id}-d">${escapeText(description)}</desc>`;
  return `${head}${tidy(ownIds(svg.innerHTML, id))}</svg>`;
}

/** Plot numbers its clip paths over all pictures of a process; here they are numbered within one, under its id. */
function ownIds(markup: string, id: string): string {
  const names = new Map<string, string>();
  return markup.replace(/plot-clip-\d+/g, (name) => {
    if (!names.has(name)) names.set(name, `${id}-clip-${names.size + 1}`);
    return names.get(name) ?? name;
  });
}

/** Rounds coordinates, and replaces what an XML parser would refuse in names that come from outside. */
function tidy(markup: string): string {
  const tags = markup.replace(/<[^>]+>/g, (tag) =>
    tag.replace(/-?\d+\.\d{2,}/g, (number) => String(Number(Number(number).toFixed(1)))),
  );
  return printable(tags);
}

/** A rough width of a text in pixels: good enough to leave room for it, without a font at hand. */
export function textWidth(text: string, size = fontSize): number {
  return [...text].length * size * 0.58;
}

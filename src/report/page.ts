import type { Cell, Figure, Section, StudyReport, Subject, Table } from "../studies/study-report.js";
import { checkReport } from "./check-report.js";
import { figureHtml } from "./figure-html.js";
import { sparkline } from "./figures/sparkline.js";
import { formatDuration, formatNumber } from "./format.js";
import { type Html, html, trusted } from "./html.js";
import { createPalette, type Palette } from "./palette.js";
import { styleSheet } from "./style.js";
import { badge, tally, verdictTable } from "./verdict-table.js";

/**
 * A study as one HTML page: style and pictures inside, no script, nothing fetched; opens from a disk, follows the
 * reader's light or dark mode, prints, and reads on a phone.
 * @throws LayerwiseError "argument" for a report that contradicts itself, such as a claim that holds at p ≥ 0.01.
 */
export function reportHtml(report: StudyReport): string {
  checkReport(report);
  const palette = createPalette(keys(report));
  return documentHtml(
    report.title,
    html`${hero(report)}
<main>
${contents(report)}
${report.sections.map((section, i) => sectionHtml(section, i, palette))}
${setup(report)}
${limits(report)}
</main>
<footer><p>Made by <code>${report.command}</code> on ${day(report.finished)}. Verdicts: a claim <em>holds</em> only at p &lt; 0.01 over its runs; values are means ± standard error.</p></footer>`,
  );
}

/** A whole document around a body: style inside, light and dark, no script. */
export function documentHtml(title: string, body: Html): string {
  return `<!doctype html>
${html`<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<style>${trusted(styleSheet)}</style>
</head>
<body>
${body}
</body>
</html>
`}`;
}

function hero({ id, title, summary, finished, seconds, papers }: StudyReport): Html {
  return html`<header class="hero">
<p class="eyebrow">layerwise study · ${id}</p>
<h1>${title}</h1>
<p class="lead">${summary}</p>
<p class="tally">${tally(papers).map(({ verdict, count }) => html`<span><strong>${count}</strong> ${badge(verdict)}</span>`)}<span class="when">${day(finished)}, ${formatDuration(seconds)}</span></p>
${papers.length > 0 ? verdictTable(papers) : null}
</header>`;
}

function contents({ sections, limits: caveats }: StudyReport): Html | null {
  const links = [
    ...sections.map((section, i) => ({ href: `#section-${i}`, text: section.title })),
    { href: "#setup", text: "What was run" },
    ...(caveats?.length ? [{ href: "#limits", text: "What this cannot show" }] : []),
  ];
  return html`<nav aria-label="Contents">${links.map(({ href, text }) => html`<a href="${href}">${text}</a>`)}</nav>`;
}

/** A heading, paragraphs, figures and tables. */
export function sectionHtml(
  { title, prose, figures = [], tables = [] }: Section,
  index: number,
  palette: Palette,
): Html {
  return html`<section id="section-${index}">
<h2>${title}</h2>
${prose.map((paragraph) => html`<p class="prose">${paragraph}</p>`)}
${figures.map((figure, i) => figureHtml(figure, `figure-${index}-${i}`, palette))}
${tables.map((table, i) => tableHtml(table, `table-${index}-${i}`, palette))}
</section>
`;
}

function tableHtml({ title, caption, columns, rows }: Table, id: string, palette: Palette): Html {
  const numeric = columns.map((_, c) => rows.some((row) => typeof row[c] === "number"));
  const counts = columns.map((_, c) => isCounts(rows.map((row) => row[c])));
  // What a small curve in a cell is called: "Pre-LN: Loss over steps".
  const label = (row: readonly Cell[], c: number): string =>
    `${typeof row[0] === "string" ? row[0] : title}: ${columns[c] ?? ""}`;
  const align = (c: number): string => (numeric[c] ? "num" : "text");
  return html`<div class="scroll"><table class="data" id="${id}">
<caption><strong>${title}</strong>${caption ? html` ${caption}` : null}</caption>
<thead><tr>${columns.map((column, c) => html`<th scope="col" class="${align(c)}">${column}</th>`)}</tr></thead>
<tbody>${rows.map(
    (row, r) =>
      html`<tr>${row.map((cell, c) =>
        c === 0
          ? html`<th scope="row">${cellHtml(cell, label(row, c), `${id}-${r}-${c}`, palette, counts[c] === true)}</th>`
          : html`<td class="${align(c)}">${cellHtml(cell, label(row, c), `${id}-${r}-${c}`, palette, counts[c] === true)}</td>`,
      )}</tr>`,
  )}</tbody>
</table></div>
`;
}

function cellHtml(cell: Cell, label: string, id: string, palette: Palette, isCount: boolean): Html | string {
  if (cell === null) return "–";
  if (typeof cell === "string") return cell;
  if (typeof cell === "number") return isCount ? String(cell) : formatNumber(cell, 4);
  const { spark, key } = cell;
  return trusted(sparkline(spark, key === undefined ? { label } : { key, label }, { width: 110, palette, id }));
}

/** Whether a column has whole numbers alone, which are shorter as they are: 40, not 40.00. */
const isCounts = (column: readonly (Cell | undefined)[]): boolean =>
  column.every((cell) => typeof cell !== "number" || (Number.isInteger(cell) && Math.abs(cell) < 1e4));

function setup({ setup: told, command, machine, seconds }: StudyReport): Html {
  const facts = [...told, { label: "Machine", value: machine }, { label: "Time", value: formatDuration(seconds) }];
  return html`<section id="setup">
<h2>What was run</h2>
<dl>${facts.map(({ label, value }) => html`<div><dt>${label}</dt><dd>${value}</dd></div>`)}</dl>
<p class="prose">To measure all of it again:</p>
<pre><code>${command}</code></pre>
</section>`;
}

function limits({ limits: caveats }: StudyReport): Html | null {
  if (!caveats?.length) return null;
  return html`<section id="limits"><h2>What this cannot show</h2><ul class="prose">${caveats.map((text) => html`<li>${text}</li>`)}</ul></section>`;
}

/** The day of an ISO time: "2026-11-25". */
const day = (iso: string): string => iso.slice(0, 10);

/** Keys of all subjects, in order of appearance. */
function keys({ sections }: StudyReport): string[] {
  const figures = sections.flatMap(({ figures: list = [] }) => list);
  const sparks = sections.flatMap(({ tables = [] }) => tables.flatMap(({ rows }) => rows.flat()));
  const inTables = sparks.flatMap((cell) => (cell !== null && typeof cell === "object" && cell.key ? [cell.key] : []));
  return [...figures.flatMap(subjects).map(({ key }) => key), ...inTables];
}

/** Who is drawn in a figure. */
export function subjects(figure: Figure): readonly Subject[] {
  if (figure.kind === "images") return [];
  return figure.kind === "lines" ? figure.series : figure.panels;
}

/** Many studies on one page: what each paper came to, and the way to its own report. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type PaperId, paper } from "../catalogue/catalogue.js";
import type { StudyReport } from "../studies/study-report.js";
import { formatDuration } from "./format.js";
import { type Html, html } from "./html.js";
import { documentHtml } from "./page.js";
import { badge, signs, tally, verdictTable } from "./verdict-table.js";

export interface Summary {
  /** In the order to show, each with the way to its page, relative to the summary. */
  readonly studies: readonly { readonly report: StudyReport; readonly link: string }[];
  /** Studies that could not be finished, and why. */
  readonly failed: readonly { readonly id: PaperId; readonly problem: string }[];
  readonly command: string;
}

/** Writes `report.html` into a folder that is made if need be; returns its path. */
export function writeSummary(summary: Summary, folder: string): string {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, "report.html");
  writeFileSync(path, summaryHtml(summary));
  return path;
}

/** As `reportHtml`: no script, nothing fetched. */
export function summaryHtml({ studies, failed, command }: Summary): string {
  const reports = studies.map(({ report }) => report);
  const verdicts = reports.flatMap(({ papers }) => papers);
  const seconds = reports.reduce((sum, report) => sum + report.seconds, 0);
  return documentHtml(
    "What the papers claim, measured",
    html`<header class="hero">
<p class="eyebrow">layerwise reproduce</p>
<h1>What the papers claim, measured</h1>
<p class="lead">${verdicts.length} papers, ${verdicts.flatMap(({ claims }) => claims).length} claims, each measured on models small enough for this machine.</p>
<p class="tally">${tally(verdicts).map(({ verdict, count }) => html`<span><strong>${count}</strong> ${badge(verdict)}</span>`)}<span class="when">${formatDuration(seconds)}</span></p>
</header>
<main>
<section id="papers"><h2>By paper</h2>
<div class="scroll"><table class="data overview">
<thead><tr><th scope="col">Paper</th><th scope="col">Claims</th><th scope="col" class="num">Time</th></tr></thead>
<tbody>${studies.map(overviewRow)}${failed.map(failedRow)}</tbody>
</table></div></section>
<section id="claims"><h2>By claim</h2>${verdictTable(verdicts)}</section>
</main>
<footer><p>Made by <code>${command}</code>. Verdicts: a claim <em>holds</em> only at p &lt; 0.01 over its runs; values are means ± standard error.</p></footer>`,
  );
}

/** One sign per claim, in the colour of its verdict. */
function overviewRow({ report, link }: Summary["studies"][number]): Html {
  const claims = report.papers.flatMap((group) => group.claims);
  return html`<tr><th scope="row"><a href="${link}">${report.title}</a></th>
<td class="text">${claims.map(
    ({ verdict, claim }) =>
      html`<span class="badge ${verdict.replaceAll(" ", "-")}" title="${`${verdict}: ${claim}`}"><b>${signs[verdict]}</b></span> `,
  )}</td>
<td class="num">${formatDuration(report.seconds)}</td></tr>
`;
}

const failedRow = ({ id, problem }: Summary["failed"][number]): Html =>
  html`<tr><th scope="row">${paper(id).title}</th><td class="text" colspan="2">not finished: ${problem}</td></tr>
`;

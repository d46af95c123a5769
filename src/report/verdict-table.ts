import { paper } from "../catalogue/catalogue.js";
import type { Claim, Verdict } from "../catalogue/claim.js";
import type { PaperVerdicts } from "../studies/study-report.js";
import { interval } from "./figures/interval.js";
import { formatMeasurement, formatP } from "./format.js";
import { type Html, html, trusted } from "./html.js";

export const signs: Readonly<Record<Verdict, string>> = { holds: "✓", "does not hold": "✗", inconclusive: "?" };

/** A verdict as a sign, a word and a colour: any one of them is enough to tell. */
export function badge(verdict: Verdict): Html {
  return html`<span class="badge ${verdict.replaceAll(" ", "-")}"><b aria-hidden="true">${signs[verdict]}</b> ${verdict}</span>`;
}

/** "5 hold, 1 does not, 2 are inconclusive": verdicts that do not occur are left out. */
export function tally(
  papers: readonly PaperVerdicts[],
): readonly { readonly verdict: Verdict; readonly count: number }[] {
  const all = papers.flatMap(({ claims }) => claims);
  return (Object.keys(signs) as Verdict[])
    .map((verdict) => ({ verdict, count: all.filter((claim) => claim.verdict === verdict).length }))
    .filter(({ count }) => count > 0);
}

/** The claims of all papers, one row each, grouped by paper: what a hurried reader takes away. */
export function verdictTable(papers: readonly PaperVerdicts[]): Html {
  return html`<table class="verdicts">
<thead><tr><th scope="col">Verdict</th><th scope="col">Claim</th><th scope="col" class="num">Baseline</th><th scope="col" class="num">Measured</th><th scope="col" class="pic">Difference<small>○ baseline, ● measured</small></th><th scope="col" class="num">p</th></tr></thead>
${papers.map((group, g) => paperRows(group, g))}
</table>
`;
}

function paperRows({ paper: id, claims }: PaperVerdicts, group: number): Html {
  const { title, year, link } = paper(id);
  const name = link ? html`<a href="${link}">${title}</a>` : html`${title}`;
  return html`<tbody>
<tr class="paper"><th scope="rowgroup" colspan="6">${name} <span>${year}</span></th></tr>
${claims.map((claim, i) => claimRow(claim, `claim-${group}-${i}`))}
</tbody>
`;
}

function claimRow(claim: Claim, id: string): Html {
  const { verdict, metric, note, baseline, measured, pValue, test, n } = claim;
  return html`<tr id="${id}">
<td class="v">${badge(verdict)}</td>
<td class="c"><p>${claim.claim}</p><small>${metric}</small>${note ? html`<small class="note">${note}</small>` : null}</td>
<td class="num b" data-label="Baseline">${side(baseline)}</td>
<td class="num m" data-label="Measured">${side(measured)}</td>
<td class="pic">${trusted(interval(claim, { width: 120, id: `${id}-picture` }))}</td>
<td class="num p" data-label="p">${formatP(pValue)}<small>${n === 1 ? "1 run" : `${n} runs`}${pValue === null ? null : html`, ${test}`}</small></td>
</tr>
`;
}

function side(measurement: Claim["baseline"]): Html {
  return html`${formatMeasurement(measurement)}<small>${measurement.label}</small>`;
}

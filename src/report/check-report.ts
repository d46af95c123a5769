import { claimProblem } from "../catalogue/claim.js";
import type { Figure, StudyReport } from "../studies/study-report.js";
import { fail } from "../tensor/errors.js";

/** Refuses a report whose verdicts its own numbers do not support, or whose figures do not fit together. */
export function checkReport({ id, papers, sections }: StudyReport): void {
  for (const { paper, claims } of papers)
    for (const claim of claims) {
      const problem = claimProblem(claim);
      if (problem) fail("argument", `report ${id}: ${paper}, claim ${JSON.stringify(claim.claim)}: ${problem}`);
    }
  for (const { figures = [] } of sections)
    for (const figure of figures) {
      const problem = figureProblem(figure);
      if (problem) fail("argument", `report ${id}: figure ${JSON.stringify(figure.title)}: ${problem}`);
    }
}

function figureProblem(figure: Figure): string | undefined {
  switch (figure.kind) {
    case "lines":
      for (const { name, runs } of figure.series)
        for (const { x, y } of runs)
          if (x.length !== y.length) return `${name}: ${x.length} x and ${y.length} y values in one run`;
      return undefined;
    case "heat-map":
      for (const { name, values } of figure.panels)
        if (values.length !== figure.rows.length || values.some((row) => row.length !== figure.columns.length))
          return `${name}: expected ${figure.rows.length} rows of ${figure.columns.length} values`;
      for (const [names, places] of [
        [figure.columnNames, figure.columns],
        [figure.rowNames, figure.rows],
      ] as const)
        if (names && names.length !== places.length) return `${names.length} names for ${places.length} places`;
      return undefined;
    case "angular-heat-map":
      for (const { name, values } of figure.panels)
        if (values.some((row) => row.length !== values.length))
          return `${name}: expected as many columns as rows (${values.length})`;
      return undefined;
    case "images":
      for (const { name, images } of figure.rows)
        if (images.some(({ source }) => !/^data:image\/png;base64,[A-Za-z0-9+/]+=*$/.test(source)))
          return `${name}: expected PNG data inside the report, not a link`;
      return undefined;
    case "bars":
      return undefined;
  }
}

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { formatResult, type Result } from "../catalogue/results.js";
import type { StudyReport } from "../studies/study-report.js";
import { reportHtml } from "./page.js";

/**
 * Writes `report.html`, to be opened, and `report.json`, the data it is drawn from, into a folder that is made if need
 * be, with further tables by file name beside them. Returns the path of the page.
 */
export function writeReport(
  report: StudyReport,
  folder: string,
  tables: Readonly<Record<string, string>> = {},
): string {
  const page = reportHtml(report);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "report.json"), `${JSON.stringify(report)}\n`);
  writeFileSync(join(folder, "report.html"), page);
  for (const [name, content] of Object.entries(tables)) writeFileSync(join(folder, name), `${content}\n`);
  return join(folder, "report.html");
}

/** What a study measured, paper by paper, in the form the catalogue keeps. */
export function resultsOf({ id, finished, command, machine, seconds, papers }: StudyReport): Result[] {
  const shared = { study: id, date: finished.slice(0, 10), command, machine, seconds: Math.round(seconds) };
  return papers.map(({ paper, claims }) => ({ paper, ...shared, claims }));
}

/** Writes each paper's result as `<id>.json` into a folder: `src/catalogue/results` in this repository. */
export function recordResults(report: StudyReport, folder: string): void {
  mkdirSync(folder, { recursive: true });
  for (const result of resultsOf(report)) writeFileSync(join(folder, `${result.paper}.json`), formatResult(result));
}

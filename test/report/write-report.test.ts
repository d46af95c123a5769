import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseResult } from "../../src/catalogue/results.js";
import { recordResults, reportHtml, writeReport } from "../../src/report/index.js";
import type { StudyReport } from "../../src/studies/study-report.js";
import { claims, report } from "./fixture.js";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "layerwise-report-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const read = (...path: string[]): string => readFileSync(join(folder, ...path), "utf8");

describe("writeReport", () => {
  it("writes the page and the data that draws it again, in a folder it makes", () => {
    expect(writeReport(report, join(folder, "runs/placement"))).toBe(join(folder, "runs/placement/report.html"));
    const data = JSON.parse(read("runs/placement/report.json")) as StudyReport;
    expect(reportHtml(data) === read("runs/placement/report.html")).toBe(true);
  });

  it("puts tables beside the page", () => {
    writeReport(report, folder, { "layers.csv": "block,variance\n0,1" });
    expect(read("layers.csv")).toBe("block,variance\n0,1\n");
  });

  it("writes nothing for a report that contradicts itself", () => {
    const [claim] = claims.mix;
    const wrong = {
      ...report,
      papers: [{ paper: "mix-ln" as const, claims: claim ? [{ ...claim, pValue: 0.5 }] : [] }],
    };
    expect(() => writeReport(wrong, folder)).toThrow('"holds" needs p < 0.01');
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe("recordResults", () => {
  it("writes one result per paper that the catalogue reads back", () => {
    recordResults(report, folder);
    expect(readdirSync(folder).sort()).toEqual(["layer-norm-scaling.json", "mix-ln.json", "peri-ln.json"]);
    expect(parseResult(read("mix-ln.json"), "mix-ln.json")).toEqual({
      paper: "mix-ln",
      study: "placement",
      date: "2026-11-25",
      command: "npx layerwise study placement --seeds 5",
      machine: report.machine,
      seconds: 1994,
      claims: claims.mix,
    });
  });
});

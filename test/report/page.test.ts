import { parseHTML } from "linkedom";
import { describe, expect, it } from "vitest";
import { reportHtml } from "../../src/report/index.js";
import type { StudyReport } from "../../src/studies/study-report.js";
import { claims, report } from "./fixture.js";

const page = reportHtml(report);
const { document } = parseHTML(page);
const texts = (selector: string): string[] => [...document.querySelectorAll(selector)].map((e) => e.textContent ?? "");

describe("the report page", () => {
  it("is complete in itself: no script, nothing to fetch", () => {
    expect(page).not.toMatch(/<script|<link|<img|<iframe|@import|url\((?!#)|\bsrc=/i);
    const hosts = [...page.matchAll(/https?:\/\/([^/"]+)/g)].map((match) => match[1]);
    expect(new Set(hosts)).toEqual(new Set(["arxiv.org", "www.w3.org"]));
  });

  it("opens with title, summary and all verdicts", () => {
    expect(texts("h1")).toEqual(["Where should the norm sit?"]);
    expect(texts(".hero .tally strong")).toEqual(["4", "1", "2"]);
    expect(texts(".hero .verdicts .paper a")).toHaveLength(3);
    expect(texts(".hero .verdicts .c p")).toHaveLength(7);
  });

  it("shows for a claim both means with errors, test, p and runs", () => {
    const row = document.querySelector("#claim-1-0");
    const cells = [...(row?.querySelectorAll("td") ?? [])].map((cell) => cell.textContent);
    expect(cells.map((text) => text?.trim())).toEqual([
      "✓ holds",
      "Mix-LN makes gradient norms more uniform over depthlargest / smallest gradient norm of a block",
      "5.92 ± 0.31Pre-LN",
      "2.54 ± 0.18Mix-LN",
      expect.stringContaining("Pre-LN 5.92 ± 0.31; Mix-LN 2.54 ± 0.18."),
      "0.00315 runs, Welch's t-test, one-sided",
    ]);
  });

  it("says diverged, and gives no p, where a run has no mean", () => {
    const row = document.querySelector("#claim-2-2")?.textContent;
    expect(row).toContain("diverged");
    expect(row).toContain("–1 run");
  });

  it("has every picture of the study, with ids that occur once", () => {
    expect(document.querySelectorAll("figure")).toHaveLength(4);
    // Curves in three widths; five panels and a legend for two heat maps; five bar charts.
    expect(document.querySelectorAll("figure svg")).toHaveLength(3 + 2 * 6 + 5);
    const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it("has contents that lead somewhere", () => {
    const links = [...document.querySelectorAll("nav a")].map((a) => a.getAttribute("href") ?? "");
    expect(links).toHaveLength(5);
    for (const link of links) expect(document.querySelector(link)).not.toBeNull();
  });

  it("follows light and dark mode and is light on paper", () => {
    const style = texts("style").join("");
    expect(style).toContain("@media (prefers-color-scheme:dark)");
    expect(style.match(/--series-peri:#\w+/g)).toEqual([
      "--series-peri:#04756a",
      "--series-peri:#35e0a8",
      "--series-peri:#04756a",
    ]);
  });

  it("gives every colour variable its pictures use", () => {
    const style = texts("style").join("");
    const used = new Set([...page.matchAll(/var\((--[\w-]+)/g)].map((match) => match[1] ?? ""));
    for (const name of used) expect(style).toContain(`${name}:`);
  });

  it("escapes every text of the study", () => {
    const evil = `<img src=x onerror=alert(1)>"'&`;
    const escaped = JSON.parse(JSON.stringify(report), (key, value: unknown) =>
      typeof value === "string" && !["kind", "scale", "verdict", "paper", "finished", "key"].includes(key)
        ? `${value}${evil}`
        : value,
    ) as StudyReport;
    const out = reportHtml(escaped);
    expect(out).not.toContain("<img");
    expect(out).not.toMatch(/="[^"]*<img/);
    expect(parseHTML(out).document.querySelectorAll("img, [onerror]")).toHaveLength(0);
  });

  it("is drawn the same from its JSON", () => {
    const again = reportHtml(JSON.parse(JSON.stringify(report)) as StudyReport);
    expect(again === page).toBe(true);
  });
});

describe("a report that contradicts itself is refused", () => {
  const [claim] = claims.mix;
  const [, stream] = report.sections;
  it.each<[string, Partial<StudyReport>, string]>([
    [
      "holds at p ≥ 0.01",
      { papers: [{ paper: "mix-ln", claims: claim ? [{ ...claim, pValue: 0.02 }] : [] }] },
      'report placement: mix-ln, claim "Mix-LN makes gradient norms more uniform over depth": "holds" needs p < 0.01, p is 0.02',
    ],
    [
      "a run whose x and y differ in length",
      {
        sections: [
          {
            title: "s",
            prose: [],
            figures: [
              {
                kind: "lines",
                title: "Loss",
                caption: "",
                x: { label: "step" },
                y: { label: "loss" },
                series: [{ key: "pre", name: "Pre-LN", runs: [{ x: [1, 2], y: [1] }] }],
              },
            ],
          },
        ],
      },
      'report placement: figure "Loss": Pre-LN: 2 x and 1 y values in one run',
    ],
    [
      "a heat map of another size than its axes",
      {
        sections: (stream ? [stream] : []).map((section) => ({
          ...section,
          figures: (section.figures ?? []).map((figure) =>
            figure.kind === "heat-map" ? { ...figure, rows: [0, 1] } : figure,
          ),
        })),
      },
      'report placement: figure "Variance of the residual stream": Post-LN: expected 2 rows of 50 values',
    ],
    [
      "an angular heat map that is not square",
      {
        sections: [
          {
            title: "s",
            prose: [],
            figures: [
              {
                kind: "angular-heat-map",
                title: "Angles",
                caption: "",
                panels: [{ key: "pre", name: "Pre-LN", values: [[0.1]].concat([[0.2]]) }],
              },
            ],
          },
        ],
      },
      'report placement: figure "Angles": Pre-LN: expected as many columns as rows (2)',
    ],
  ])("%s", (_, change, message) => {
    expect(() => reportHtml({ ...report, ...change })).toThrow(message);
  });
});

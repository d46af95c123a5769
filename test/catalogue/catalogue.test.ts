import { existsSync, readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { nearest, type Paper, paper, papers } from "../../src/catalogue/index.js";
import { parseResult } from "../../src/catalogue/results.js";
import * as layerwise from "../../src/index.js";

/** Names in a folder of the catalogue; none when nothing was ever put there. */
function files(folder: string): string[] {
  const url = new URL(`../../src/catalogue/${folder}/`, import.meta.url);
  return existsSync(url) ? readdirSync(url) : [];
}

describe("the catalogue", () => {
  it("has one file per paper, named by its id, and lists them all", () => {
    const ids = files("papers").filter((name) => name !== "index.ts");
    expect(ids.map((name) => name.replace(/\.ts$/, "")).sort()).toEqual(papers.map((p) => p.id).sort());
    expect(papers).toHaveLength(50);
  });

  it("lists the newest papers first", () => {
    const years = papers.map((p) => p.year);
    expect(years).toEqual([...years].sort((a, b) => b - a));
  });

  it.each(papers)("$id: links over https, and says in 25 to 60 words what it is", ({ link, summary, year }) => {
    if (link) expect(link).toMatch(/^https:\/\/arxiv\.org\/abs\/\d{4}\.\d{5}$/);
    // An arXiv number opens with year and month: a wrong year, or a wrong link, shows here.
    if (link) expect(link.slice("https://arxiv.org/abs/".length).slice(0, 2)).toBe(String(year).slice(2));
    const words = summary.split(/\s+/).length;
    expect(words).toBeGreaterThanOrEqual(25);
    expect(words).toBeLessThanOrEqual(60);
    expect(summary).toMatch(/\.$/);
  });

  it("links every paper to its own page", () => {
    const links = papers.flatMap((p) => p.link ?? []);
    expect(new Set(links).size).toBe(links.length);
  });

  it("says for every done paper what the package exports for it", () => {
    const silent = papers.filter((p: Paper) => p.state === "done" && !p.exports?.length);
    expect(silent.map((p) => p.id)).toEqual([]);
  });

  it("names only exports that exist", () => {
    const named = papers.flatMap((p: Paper) => p.exports ?? []);
    const exists = (path: string): boolean =>
      path.split(".").reduce<unknown>((at, name) => (at as Record<string, unknown> | undefined)?.[name], layerwise) !==
      undefined;
    expect(named.filter((path) => !exists(path))).toEqual([]);
  });
});

describe("paper(id)", () => {
  it("gives the entry", () => {
    expect(paper("mix-ln").title).toMatch(/^Mix-LN/);
  });

  it.each([
    ["perri-ln", "peri-ln"],
    ["PERI", "peri-ln"],
    ["layernorm", "layer-norm"],
    ["layer-norm-scale", "layer-norm-scaling"],
    ["lora-mole", "llava-mole"],
  ])("%s: suggests %s", (typed, meant) => {
    expect(() => paper(typed)).toThrow(`no paper has the id "${typed}"; did you mean "${meant}"?`);
  });

  it("suggests nothing for a word far from all ids", () => {
    expect(nearest("xyzzyxyzzyxyzzy", ["peri-ln"])).toBeUndefined();
    expect(() => paper("zzzzzz")).toThrow("`layerwise papers` lists all ids");
  });
});

describe("recorded results", () => {
  it.each(files("results").filter((name) => name.endsWith(".json")))("%s is a result of a known paper", (name) => {
    const text = readFileSync(new URL(`../../src/catalogue/results/${name}`, import.meta.url), "utf8");
    const result = parseResult(text, name);
    expect(`${paper(result.paper).id}.json`).toBe(name);
    expect(result.claims.length).toBeGreaterThan(0);
  });

  it("a file that is no result is an error naming it", () => {
    expect(() => parseResult("<html>", "peri-ln.json")).toThrow('peri-ln.json: expected JSON, got "<html>"');
    expect(() => parseResult("{}", "peri-ln.json")).toThrow("peri-ln.json: expected a result");
  });

  it("a claim that holds without a significant test is an error", () => {
    const side = { label: "Pre-LN", mean: 1, standardError: 0.1 };
    const claim = {
      claim: "c",
      metric: "m",
      baseline: side,
      measured: side,
      verdict: "holds",
      n: 3,
      test: "t",
      pValue: 0.04,
    };
    const text = JSON.stringify({ paper: "peri-ln", claims: [claim] });
    expect(() => parseResult(text, "peri-ln.json")).toThrow('claim "c": "holds" needs p < 0.01, p is 0.04');
  });
});

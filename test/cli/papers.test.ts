import { describe, expect, it } from "vitest";
import { papers } from "../../src/catalogue/index.js";
import { papersTable } from "../../src/cli/papers.js";

describe("papersTable", () => {
  it("fits 80 columns, titles cut with an ellipsis", () => {
    const lines = papersTable(papers, 80).trimEnd().split("\n");
    expect(lines).toHaveLength(papers.length + 1);
    for (const line of lines) expect([...line].length).toBeLessThanOrEqual(80);
    expect(lines.filter((line) => line.endsWith("…")).length).toBeGreaterThan(40);
  });

  it("aligns every column", () => {
    const lines = papersTable(papers, 200).trimEnd().split("\n");
    const column = lines[0]?.indexOf("YEAR") ?? -1;
    for (const line of lines.slice(1)) expect(line.slice(column, column + 6)).toMatch(/^20\d\d {2}$/);
  });

  it("keeps whole titles when there is room", () => {
    expect(papersTable(papers, 300)).not.toContain("…");
    expect(papersTable(papers, Number.POSITIVE_INFINITY)).toContain("γ-MoD: Exploring");
  });
});

import { describe, expect, it } from "vitest";
import { terminalTable } from "../../src/report/index.js";
import { claims, report } from "./fixture.js";

const longest = (text: string): number => Math.max(...text.split("\n").map((line) => [...line].length));

describe("terminalTable", () => {
  it.each([80, 200])("is readable at %d columns", async (width) => {
    const table = terminalTable(report.papers, { width });
    expect(longest(table)).toBeLessThanOrEqual(width);
    await expect(table).toMatchFileSnapshot(`pictures/terminal-${width}.txt`);
  });

  it.each([60, 72, 100, 109, 110, 120, 160, 500])("never exceeds %d columns", (width) => {
    expect(longest(terminalTable(report.papers, { width }))).toBeLessThanOrEqual(width);
  });

  it("stays at 60 columns in a terminal that is narrower", () => {
    expect(terminalTable(report.papers, { width: 20 })).toBe(terminalTable(report.papers, { width: 60 }));
  });

  it("colours verdicts only when asked, without moving a column", () => {
    const plain = terminalTable(report.papers, { width: 100 });
    const colored = terminalTable(report.papers, { width: 100, color: true });
    expect(plain).not.toContain("\u001b");
    expect(colored).toContain("\u001b[32m✓ holds");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape sequences under test
    expect(colored.replace(/\u001b\[\d+m/g, "")).toBe(plain);
  });

  it("lets no name of a run command the terminal", () => {
    const [claim] = claims.peri;
    const hostile = claim
      ? [{ ...claim, claim: "\u001b[2J\u0007gone", metric: "a\u009bb", note: "x".repeat(300) }]
      : [];
    const table = terminalTable([{ paper: "peri-ln", claims: hostile }], { width: 80 });
    expect(table).not.toMatch(/[^\P{Cc}\n]/u);
    expect(longest(table)).toBeLessThanOrEqual(80);
  });
});

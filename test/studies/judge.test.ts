/** Verdicts: a claim holds only where its seeds say so, and the statistics behind it are right. */
import { describe, expect, it } from "vitest";
import { claimProblem } from "../../src/catalogue/claim.js";
import { judge, logRatio } from "../../src/studies/judge.js";
import { mean, pAbove, standardError, studentTail } from "../../src/studies/statistics.js";

describe("statistics", () => {
  // Critical values from tables of Student's t.
  it.each([
    [6.314, 1, 0.05],
    [6.965, 2, 0.01],
    [4.541, 3, 0.01],
    [2.764, 10, 0.01],
    [2.326, 100_000, 0.01],
    [0, 7, 0.5],
  ])("P(T > %f) with %i degrees of freedom is %f", (t, df, p) => {
    expect(studentTail(t, df)).toBeCloseTo(p, 4);
    expect(studentTail(-t, df)).toBeCloseTo(1 - p, 4);
  });

  it("mean, standard error, and the p-value of a sample", () => {
    expect(mean([1, 2, 3])).toBe(2);
    expect(standardError([1, 2, 3])).toBeCloseTo(1 / Math.sqrt(3), 12);
    expect(standardError([5])).toBeNull();
    // t = 2 / (1 / √3) = 3.4641 with 2 degrees of freedom
    expect(pAbove([1, 2, 3])).toBeCloseTo(0.0371, 4);
    expect(pAbove([1, 2, 3], 2)).toBeCloseTo(0.5, 6);
    expect(pAbove([1])).toBeNull();
    expect(pAbove([1, Number.NaN])).toBeNull();
  });
});

describe("judge", () => {
  const about = (effect: readonly number[]) =>
    judge({
      claim: "c",
      metric: "m",
      baseline: ["a", effect.map(() => 0)],
      measured: ["b", effect],
      effect,
      test: "difference",
    });

  it.each([
    ["holds", [1, 1.1, 0.9]],
    ["does not hold", [-1, -1.1, -0.9]],
    ["inconclusive", [1, -1, 0.5]],
    ["inconclusive", [3]],
    ["inconclusive", [1, Number.NaN, 1]],
  ])("%s for effects %j", (verdict, effect) => {
    const claim = about(effect);
    expect(claim.verdict).toBe(verdict);
    expect(claimProblem(claim)).toBeUndefined();
    expect(claim.n).toBe(effect.length);
  });

  it("takes ratios against a margin", () => {
    expect(
      logRatio([10, 20], [1, 1], 5)
        .map(Math.exp)
        .map((v) => Number(v.toFixed(9))),
    ).toEqual([2, 4]);
  });
});

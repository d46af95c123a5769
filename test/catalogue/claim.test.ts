import { describe, expect, it } from "vitest";
import { type Claim, claimProblem } from "../../src/catalogue/index.js";

const good: Claim = {
  claim: "Peri-LN keeps activations small",
  metric: "largest activation",
  baseline: { label: "Pre-LN", mean: 407, standardError: 20 },
  measured: { label: "Peri-LN", mean: 47, standardError: 1 },
  verdict: "holds",
  n: 3,
  test: "Welch's t-test, one-sided",
  pValue: 0.001,
};

describe("claimProblem", () => {
  it("accepts a claim that holds at p < 0.01 over several runs", () => {
    expect(claimProblem(good)).toBeUndefined();
  });

  it.each<[string, Partial<Claim>, string]>([
    ["p of 0.01 or more", { pValue: 0.01 }, '"holds" needs p < 0.01, p is 0.01'],
    ["no p-value", { pValue: null }, '"holds" needs p < 0.01, there is no p-value'],
    ["a single run", { n: 1 }, '"holds" needs at least two runs, there is 1'],
    ["no runs", { n: 0 }, "n must be the number of runs, got 0"],
    ["a p-value that is none", { pValue: 1.5 }, "the p-value must lie in 0..1, got 1.5"],
    ["a p-value that is not a number", { pValue: Number.NaN }, "the p-value must lie in 0..1, got NaN"],
    [
      "a negative error",
      { measured: { label: "Peri-LN", mean: 1, standardError: -1 } },
      "Peri-LN: the standard error must not be negative, got -1",
    ],
  ])("refuses %s", (_, change, problem) => {
    expect(claimProblem({ ...good, ...change })).toBe(problem);
  });

  it("lets a claim that does not hold, or a diverged run, be recorded as it is", () => {
    const diverged = { label: "Post-LN", mean: null, standardError: null };
    expect(claimProblem({ ...good, measured: diverged, verdict: "inconclusive", pValue: null, n: 1 })).toBeUndefined();
    expect(claimProblem({ ...good, verdict: "does not hold", pValue: 0.9 })).toBeUndefined();
  });
});

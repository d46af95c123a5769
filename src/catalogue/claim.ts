/**
 * A claim of a paper and what we measured. Plain data: it is written to JSON, drawn in reports, printed in the
 * terminal and collected in the README.
 */
export interface Claim {
  /** What is claimed, one sentence in our own words. */
  readonly claim: string;
  /** What is measured to judge it, with its unit: "validation loss (nats per byte)". */
  readonly metric: string;
  readonly baseline: Measurement;
  readonly measured: Measurement;
  readonly verdict: Verdict;
  /** Independent runs of each side: one per seed. */
  readonly n: number;
  /** Name of the significance test: "paired t-test, one-sided". */
  readonly test: string;
  /** Probability of a difference this large if there were none; null when the test cannot be computed. */
  readonly pValue: number | null;
  /** What a careful reader should know: a caveat, a failed run, where the paper's setting differs. */
  readonly note?: string;
}

export interface Measurement {
  /** Who was measured: "Pre-LN". */
  readonly label: string;
  /** Mean over the runs; null when a run diverged, so that no mean exists. */
  readonly mean: number | null;
  /** Standard error of the mean over the runs; null when there is a single run, or no mean. */
  readonly standardError: number | null;
}

export type Verdict = "holds" | "does not hold" | "inconclusive";

/** A claim holds only below this p-value. */
export const significance = 0.01;

/**
 * What is wrong with a claim as data, as a sentence; undefined when nothing is. The rule it guards: a claim may be
 * said to hold only when a named test over several runs gave p < 0.01 and both means exist.
 */
export function claimProblem(claim: Claim): string | undefined {
  const { n, pValue, verdict, baseline, measured } = claim;
  if (!Number.isInteger(n) || n < 1) return `n must be the number of runs, got ${n}`;
  if (pValue !== null && !(pValue >= 0 && pValue <= 1)) return `the p-value must lie in 0..1, got ${pValue}`;
  for (const side of [baseline, measured])
    if (side.standardError !== null && !(side.standardError >= 0))
      return `${side.label}: the standard error must not be negative, got ${side.standardError}`;
  if (verdict !== "holds") return undefined;
  if (n < 2) return `"holds" needs at least two runs, there is ${n}`;
  if (pValue === null || pValue >= significance)
    return `"holds" needs p < ${significance}, ${pValue === null ? "there is no p-value" : `p is ${pValue}`}`;
  return undefined;
}

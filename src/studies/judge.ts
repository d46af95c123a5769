/** From numbers, one per seed, to a claim with its verdict. One rule for all studies. */
import { type Claim, significance } from "../catalogue/claim.js";
import { mean, pAbove, standardError } from "./statistics.js";

export interface Comparison {
  readonly claim: string;
  readonly metric: string;
  /** A single value where the other side is a number that the paper or the arithmetic predicts. */
  readonly baseline: readonly [label: string, values: readonly number[]];
  readonly measured: readonly [label: string, values: readonly number[]];
  /**
   * By how much each seed speaks for the claim: above 0 where it holds. Usually the paired difference, or the log of
   * the ratio, minus the margin that is claimed.
   */
  readonly effect: readonly number[];
  /** What `effect` is: "log ratio against 5". */
  readonly test: string;
  readonly note?: string;
}

/**
 * holds: the mean effect is above 0 at p < 0.01; does not hold: below 0 at p < 0.01; else inconclusive. A paired
 * one-sided t-test over seeds; a single seed decides nothing.
 */
export function judge({ claim, metric, baseline, measured, effect, test, note }: Comparison): Claim {
  const pValue = pAbove(effect);
  const against = pAbove(effect.map((e) => -e));
  const verdict =
    pValue !== null && pValue < significance
      ? "holds"
      : against !== null && against < significance
        ? "does not hold"
        : "inconclusive";
  return {
    claim,
    metric: `${metric} (judged: ${test})`,
    baseline: measurement(baseline),
    measured: measurement(measured),
    verdict,
    n: effect.length,
    test: "paired t-test, one-sided",
    pValue,
    ...(note !== undefined && { note }),
  };
}

function measurement([label, values]: readonly [string, readonly number[]]): Claim["baseline"] {
  const exists = values.length > 0 && values.every(Number.isFinite);
  return { label, mean: exists ? mean(values) : null, standardError: exists ? standardError(values) : null };
}

/** Element by element; samples are paired by seed. */
export const paired = (a: readonly number[], b: readonly number[], f: (a: number, b: number) => number): number[] =>
  a.map((x, i) => f(x, b[i] as number));

/** log(a / b) - log(margin) for each seed: above 0 where a is more than `margin` times b. */
export const logRatio = (a: readonly number[], b: readonly number[], margin = 1): number[] =>
  paired(a, b, (x, y) => Math.log(x / y) - Math.log(margin));

/** Something that must come out the same: no value, one per seed or input, may exceed the limit. */
export const exact = ({
  claim,
  metric,
  label,
  values,
  limit,
  note,
}: Pick<Comparison, "claim" | "metric" | "note"> & {
  readonly label: string;
  readonly values: readonly number[];
  readonly limit: number;
}): Claim =>
  judge({
    claim,
    metric,
    baseline: ["allowed", [limit]],
    measured: [label, values],
    // One value beyond the limit is not outweighed by others within it.
    effect: values.every((value) => value <= limit) ? values.map((value) => limit - value) : values.map(() => -1),
    test: `${limit} against the difference`,
    ...(note !== undefined && { note }),
  });

import type { MetricPoint, RunDatabase } from "./database.js";
import { differences, type RunSummary } from "./run-summary.js";

export interface RunComparison {
  readonly runs: readonly RunSummary[];
  /** Keys of the configuration that differ, with a value per run. */
  readonly differences: ReadonlyMap<string, readonly unknown[]>;
  /** Steps that every run has done, with a value per run. */
  readonly rows: readonly ComparedStep[];
  readonly curves: readonly RunCurves[];
}

export interface ComparedStep {
  readonly step: number;
  /** Mean training loss of the steps after the row above, up to this one; null where one was not finite. */
  readonly train: readonly (number | null)[];
  /** Loss of an evaluation after this very step; null where there was none. */
  readonly evaluation: readonly (number | null)[];
}

export interface RunCurves {
  readonly train: readonly MetricPoint[];
  readonly evaluation: readonly MetricPoint[];
  /** At the end; null where a token's bytes were not known. */
  readonly bitsPerByte: number | null;
  /** Median over the steps. */
  readonly tokensPerSecond: number | null;
}

const mostRows = 10;

/** Sets runs side by side at equal steps: where all were evaluated, else evenly over the steps they share. */
export async function compareRuns(database: RunDatabase, runs: readonly RunSummary[]): Promise<RunComparison> {
  const curves: RunCurves[] = [];
  for (const { id } of runs) {
    const [bits, speed] = [
      await database.metrics(id, "eval/bits_per_byte"),
      await database.metrics(id, "train/tokens_per_second"),
    ];
    curves.push({
      train: await database.metrics(id, "train/loss"),
      evaluation: await database.metrics(id, "eval/loss"),
      bitsPerByte: bits.at(-1)?.value ?? null,
      tokensPerSecond: median(speed.flatMap(({ value }) => value ?? [])),
    });
  }
  const steps = sharedSteps(curves);
  const rows = steps.map((step, i) => ({
    step,
    train: curves.map(({ train }) => meanBetween(train, steps[i - 1] ?? 0, step)),
    evaluation: curves.map(({ evaluation }) => evaluation.find((point) => point.step === step)?.value ?? null),
  }));
  return { runs, differences: differences(runs), rows, curves };
}

function sharedSteps(curves: readonly RunCurves[]): number[] {
  const last = Math.min(...curves.map(({ train }) => train.at(-1)?.step ?? 0));
  const [first, ...others] = curves.map(({ evaluation }) => evaluation.map(({ step }) => step));
  const evaluated = (first ?? []).filter((step) => step <= last && others.every((steps) => steps.includes(step)));
  if (evaluated.length > 1) return thinned(evaluated);
  const count = Math.min(mostRows, last);
  return Array.from({ length: count }, (_, i) => Math.round(((i + 1) * last) / count));
}

/** At most `mostRows` of them, evenly, the last one among them. */
function thinned(steps: readonly number[]): number[] {
  const every = Math.ceil(steps.length / mostRows);
  return steps.filter((_, i) => (steps.length - 1 - i) % every === 0);
}

function meanBetween(points: readonly MetricPoint[], after: number, upTo: number): number | null {
  const values = points.filter(({ step }) => step > after && step <= upTo).map(({ value }) => value);
  if (values.length === 0 || values.includes(null)) return null;
  return values.reduce<number>((sum, value) => sum + (value ?? 0), 0) / values.length;
}

function median(values: readonly number[]): number | null {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? null;
}

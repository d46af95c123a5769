import type { ScaleOptions } from "@observablehq/plot";
import type { Axis } from "../studies/study-report.js";
import { formatNumber } from "./format.js";

/** An axis made concrete: where it ends, what is written at it, and how Plot maps it. */
export interface ResolvedAxis {
  readonly domain: readonly [number, number];
  readonly ticks: readonly number[];
  readonly scale: ScaleOptions;
  readonly format: (value: number) => string;
}

/** Finite numbers of anything nested. */
export function finite(values: Iterable<number | null | undefined>): number[] {
  return [...values].filter((v): v is number => typeof v === "number" && Number.isFinite(v));
}

/** The axis for some data: its range unless told otherwise, widened to round ticks. `zero` makes 0 a part of it. */
export function resolveAxis(axis: Axis, values: readonly number[], options: AxisOptions = {}): ResolvedAxis {
  const { scale: type = "linear", threshold = 0.01 } = axis;
  const count = options.ticks ?? 5;
  const usable = type === "log" ? values.filter((v) => v > 0) : values;
  const [low, high] = span(axis, options.zero ? [...usable, 0] : usable, type === "log");
  if (type === "log") return logAxis(low, high);
  if (type === "symlog") return symlogAxis(low, high, threshold);
  const ticks = linearTicks(low, high, count, options.integers ?? false);
  const step = (ticks[1] ?? 1) - (ticks[0] ?? 0);
  const domain: [number, number] = options.exact
    ? [low, high]
    : [axis.min ?? Math.floor(low / step + 1e-9) * step, axis.max ?? Math.ceil(high / step - 1e-9) * step];
  const inside = linearTicks(domain[0], domain[1], count, options.integers ?? false);
  return { domain, ticks: inside, scale: { type: "linear", domain: [...domain] }, format: tickText };
}

export interface AxisOptions {
  readonly zero?: boolean;
  /** Ends exactly at the data, not at the next round number. */
  readonly exact?: boolean;
  /** Ticks at whole numbers only: layers, steps. */
  readonly integers?: boolean;
  /** About how many ticks. */
  readonly ticks?: number;
}

function span({ min, max }: Axis, values: readonly number[], log: boolean): [number, number] {
  let low = min ?? values.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  let high = max ?? values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  if (!(low <= high)) [low, high] = log ? [0.1, 1] : [0, 1];
  if (low < high) return [low, high];
  return log ? [low / 2, high * 2] : [low - Math.abs(low || 1) / 2, high + Math.abs(high || 1) / 2];
}

const tickText = (value: number): string =>
  formatNumber(Number(value.toPrecision(6)), 6)
    .replace(/(\.\d*?)0+$/, "$1")
    .replace(/\.$/, "");

function linearTicks(low: number, high: number, count: number, integers: boolean): number[] {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const nice = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999) ?? rough;
  const step = integers ? Math.max(1, Math.round(nice)) : nice;
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

/** Powers of ten; multiples of them when there are few; round steps when even those would be fewer than three. */
function logAxis(low: number, high: number): ResolvedAxis {
  const decades = Math.log10(high / low);
  const multiples = decades > 2.5 ? [1] : decades > 1.2 ? [1, 3] : [1, 1.5, 2, 3, 5, 7];
  const every = Math.max(1, Math.ceil(decades / 6));
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++)
    for (const m of multiples) {
      const tick = Number((m * 10 ** power).toPrecision(6));
      if (tick >= low * 0.999 && tick <= high * 1.001 && (power % every === 0 || every === 1)) ticks.push(tick);
    }
  if (ticks.length < 3) ticks.splice(0, ticks.length, ...linearTicks(low, high, 4, false));
  return { domain: [low, high], ticks, scale: { type: "log", domain: [low, high] }, format: tickText };
}

/** 0 and ± powers of ten from the threshold on. */
function symlogAxis(low: number, high: number, threshold: number): ResolvedAxis {
  const ticks = [0];
  for (let size = threshold; size <= Math.max(high, -low) * 1.001; size *= 10) {
    const tick = Number(size.toPrecision(6));
    if (tick <= high * 1.001) ticks.push(tick);
    if (-tick >= low * 1.001) ticks.unshift(-tick);
  }
  const domain: [number, number] = [Math.min(low, 0), Math.max(high, 0)];
  return { domain, ticks, scale: { type: "symlog", constant: threshold, domain }, format: tickText };
}

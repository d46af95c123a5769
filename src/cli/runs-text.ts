/** Runs as text for a terminal: no line is longer than the width. */
import type { RunComparison } from "../train/compare-runs.js";
import type { MetricPoint } from "../train/database.js";
import { changed, differences, type RunSummary } from "../train/run-summary.js";
import { Curve } from "./sparkline.js";
import { printable } from "./step-line.js";
import { type Column, cut, foldedTable, tableWidth, textTable, wrapParts } from "./text-table.js";

const formatLoss = (value: number | null | undefined): string => value?.toFixed(4) ?? "-";
const formatValue = (value: unknown): string =>
  value == null ? "-" : printable(typeof value === "string" ? value : JSON.stringify(value));
const text = (lines: readonly string[]): string => `${lines.join("\n")}\n`;

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const two = (n: number): string => String(n).padStart(2, "0");

/** "Nov 25 13:06" in local time; "2025-11-25" of other years. */
export function formatTime(iso: string, now = new Date()): string {
  const time = new Date(iso);
  if (time.getFullYear() !== now.getFullYear()) return iso.slice(0, 10);
  return `${months[time.getMonth()]} ${two(time.getDate())} ${two(time.getHours())}:${two(time.getMinutes())}`;
}

/** One line per run, and what sets it apart from the others: beside it where there is room, else below. */
export function listText(runs: readonly RunSummary[], width: number): string {
  if (runs.length === 0) return "No runs yet; start one with `layerwise train`.\n";
  const column = (head: string, cell: (run: RunSummary) => string, right = false): Column => ({
    head,
    right,
    cells: runs.map(cell),
  });
  const facts = [
    column("RUN", (run) => printable(run.id)),
    column("STARTED", (run) => formatTime(run.started)),
    column("STATUS", (run) => run.status),
    column("STEPS", ({ step, steps }) => (steps === null ? String(step) : `${step}/${steps}`), true),
    column("LOSS", (run) => formatLoss(run.train?.last), true),
    column("BEST EVAL", (run) => formatLoss(run.evaluation?.best), true),
  ];
  // The id says it as well.
  const fitting = tableWidth(facts) <= width ? facts : facts.filter(({ head }) => head !== "STARTED");
  const differ = [...differences(runs)];
  const apart = runs.map((_, i) =>
    differ.flatMap(([key, values]) => (values[i] === null ? [] : [`${key} ${formatValue(values[i])}`])),
  );
  const beside = [...fitting, { head: "DIFFERENCES", cells: apart.map((parts) => parts.join(", ")) }];
  if (differ.length > 0 && tableWidth(beside) <= width) return text(textTable(beside, width));
  const [head = "", ...lines] = textTable(fitting, width);
  return text([head, ...lines.flatMap((line, i) => [line, ...wrapParts(apart[i] ?? [], width, "    ")])]);
}

export interface RunDetails {
  readonly run: RunSummary;
  readonly train: readonly MetricPoint[];
  readonly evaluation: readonly MetricPoint[];
  readonly checkpoints: readonly { readonly path: string; readonly step: number; readonly bytes: number }[];
  readonly events: readonly RunEvent[];
}

export interface RunEvent {
  readonly time: string;
  readonly step: number;
  readonly kind: string;
  readonly message: string;
}

/** A run with its curves, what its configuration changes, its checkpoints, and its warnings and ends. */
export function showText({ run, train, evaluation, checkpoints, events }: RunDetails, width: number): string {
  const told = events.filter(({ kind }) => kind === "warning" || kind === "done").slice(-10);
  return text([
    `${printable(run.id)}  ${run.status}`,
    cut(`started ${formatTime(run.started)}, ${stepsOf(run)}, in ${printable(run.path)}`, width),
    ...curve("train loss", train, width),
    ...curve("eval loss", evaluation, width),
    ...part("Configuration, where it is not the default:", twoColumns(changed(run)), width),
    ...part(
      "Checkpoints:",
      checkpoints.map((c) => [`step ${c.step}`, `${bytes(c.bytes)}  ${printable(c.path)}`]),
      width,
    ),
    ...part(
      "Events:",
      told.map((e) => [formatTime(e.time), `step ${e.step}: ${printable(e.message)}`]),
      width,
    ),
  ]);
}

const stepsOf = ({ step, steps }: RunSummary): string => (steps === null ? `step ${step}` : `step ${step} of ${steps}`);
const twoColumns = (entries: readonly [string, unknown][]): [string, string][] =>
  entries.map(([key, value]) => [printable(key), formatValue(value)]);

function part(title: string, rows: readonly (readonly [string, string] | string[])[], width: number): string[] {
  if (rows.length === 0) return [];
  const sides = [0, 1].map((side) => ({ head: "", cells: rows.map((row) => row[side] ?? "") }));
  return [
    "",
    title,
    ...textTable(sides, width - 2)
      .slice(1)
      .map((line) => `  ${line}`),
  ];
}

function curve(name: string, points: readonly MetricPoint[], width: number): string[] {
  if (points.length === 0) return [];
  const drawn = new Curve();
  for (const { value } of points) drawn.add(value ?? Number.NaN);
  const lowest = points.reduce((best, point) => ((point.value ?? Infinity) < (best.value ?? Infinity) ? point : best));
  const facts = `${formatLoss(points[0]?.value)} to ${formatLoss(points.at(-1)?.value)}, lowest ${formatLoss(lowest.value)} at step ${lowest.step}`;
  return ["", `${name}  ${facts}`, drawn.draw(Math.min(100, width))];
}

function bytes(count: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const power = count < 1000 ? 0 : Math.min(4, Math.floor(Math.log10(count) / 3));
  const size = count / 1000 ** power;
  return `${power === 0 || size >= 100 ? Math.round(size) : size.toFixed(1)} ${units[power]}`;
}

/** A, B, …, Z, 27, 28, …: what a run is called in a comparison. */
export const letter = (index: number): string => (index < 26 ? String.fromCharCode(65 + index) : String(index + 1));

/** Runs side by side: what differs in their configurations, their losses at equal steps, and their last numbers. */
export function compareText({ runs, differences: differ, rows, curves }: RunComparison, width: number): string {
  const letters = runs.map((_, i) => letter(i));
  const perRun = (heads: readonly string[], cells: (run: number) => string[]): Column[] =>
    heads.map((head, i) => ({ head, right: true, cells: cells(i) }));
  const keys = [...differ];
  const configuration = [
    { head: "", cells: keys.map(([key]) => printable(key)) },
    ...letters.map((head, i) => ({ head, cells: keys.map(([, values]) => cut(formatValue(values[i]), 30)) })),
  ];
  const isEvaluated = rows.some(({ evaluation }) => evaluation.some((value) => value !== null));
  const losses = [
    { head: "step", right: true, cells: rows.map(({ step }) => String(step)) },
    ...perRun(
      letters.map((l) => `${l} train`),
      (i) => rows.map(({ train }) => formatLoss(train[i])),
    ),
    ...(isEvaluated
      ? perRun(
          letters.map((l) => `${l} eval`),
          (i) => rows.map(({ evaluation }) => formatLoss(evaluation[i])),
        )
      : []),
  ];
  const numbers = finalNumbers({ runs, curves });
  const last = [
    { head: "", cells: numbers.map(({ name }) => name) },
    ...perRun(letters, (i) => numbers.map(({ values, format }) => format(values[i] ?? null))),
  ];
  return text([
    ...runs.map((run, i) => cut(`${letter(i)}  ${printable(run.id)}  ${run.status}, ${stepsOf(run)}`, width)),
    "",
    ...(keys.length > 0 ? foldedTable(configuration, width) : ["The configurations are equal."]),
    "",
    ...(rows.length > 0
      ? ["Loss at equal steps (train: mean of the steps since the line above)", ...foldedTable(losses, width)]
      : ["There is no step that all of them have done."]),
    "",
    "At the end",
    ...foldedTable(last, width),
  ]);
}

/** The last numbers of runs, for a table: a name, a value per run, and how it is written. */
export function finalNumbers({ runs, curves }: Pick<RunComparison, "runs" | "curves">): {
  readonly name: string;
  readonly values: readonly (number | null)[];
  readonly format: (value: number | null) => string;
}[] {
  const whole = (value: number | null): string => (value === null ? "-" : Math.round(value).toLocaleString("en"));
  return [
    { name: "steps", values: runs.map(({ step }) => step), format: whole },
    { name: "last train loss", values: runs.map(({ train }) => train?.last ?? null), format: formatLoss },
    { name: "last eval loss", values: runs.map(({ evaluation }) => evaluation?.last ?? null), format: formatLoss },
    { name: "best eval loss", values: runs.map(({ evaluation }) => evaluation?.best ?? null), format: formatLoss },
    { name: "bits per byte", values: curves.map(({ bitsPerByte }) => bitsPerByte), format: formatLoss },
    { name: "tokens per second", values: curves.map(({ tokensPerSecond }) => tokensPerSecond), format: whole },
  ];
}

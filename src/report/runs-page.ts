import type { LinesFigure, Run, Section } from "../studies/study-report.js";
import type { RunComparison } from "../train/compare-runs.js";
import type { MetricPoint } from "../train/database.js";
import { html } from "./html.js";
import { documentHtml, sectionHtml } from "./page.js";
import { createPalette } from "./palette.js";

/**
 * Runs side by side as one HTML page, made like a study's report: curves, what differs in the configurations, losses at
 * equal steps. `names` are what the runs are called in figures and tables, one each.
 */
export function runsReport(comparison: RunComparison, names: readonly string[]): string {
  const { runs } = comparison;
  const palette = createPalette(names);
  const title = `${runs.length} runs side by side`;
  const list = runs.map(
    ({ id, status, step, steps }, i) =>
      html`<div><dt>${names[i]}</dt><dd>${id}: ${status}, step ${step}${steps === null ? "" : ` of ${steps}`}</dd></div>`,
  );
  return documentHtml(
    title,
    html`<header class="hero">
<p class="eyebrow">layerwise runs</p>
<h1>${title}</h1>
<dl>${list}</dl>
</header>
<main>
${[curves(comparison, names), configuration(comparison, names), numbers(comparison, names)].map((section, i) => sectionHtml(section, i, palette))}
</main>
<footer><p>Made by <code>layerwise runs compare ${runs.map(({ id }) => id).join(" ")}</code>.</p></footer>`,
  );
}

const runOf = (points: readonly MetricPoint[]): Run => ({
  x: points.map(({ step }) => step),
  y: points.map(({ value }) => value),
});

function curves({ curves: all }: RunComparison, names: readonly string[]): Section {
  const longest = Math.max(0, ...all.map(({ train }) => train.length));
  // A fiftieth of the run: enough to see through the noise of single batches.
  const smooth = Math.max(1, Math.round(longest / 50));
  const figure = (title: string, caption: string, side: "train" | "evaluation", window: number): LinesFigure => ({
    kind: "lines",
    title,
    caption,
    x: { label: "step" },
    y: { label: "loss", unit: "nats per token" },
    smooth: window,
    series: all.flatMap((curve, i) =>
      curve[side].length > 0 ? [{ key: names[i] ?? "", name: names[i] ?? "", runs: [runOf(curve[side])] }] : [],
    ),
  });
  const figures = [
    figure("Training loss", "Of each step's batch, before its update. Low is good.", "train", smooth),
    figure("Evaluation loss", "On the text held out. Low is good.", "evaluation", 1),
  ];
  return { title: "Loss", prose: [], figures: figures.filter(({ series }) => series.length > 0) };
}

function configuration({ differences }: RunComparison, names: readonly string[]): Section {
  const title = "What differs in the configurations";
  if (differences.size === 0) return { title, prose: ["Nothing: they are equal."] };
  const cell = (value: unknown): string =>
    value == null ? "–" : typeof value === "string" ? value : JSON.stringify(value);
  const rows = Array.from(differences, ([key, values]) => [key, ...values.map(cell)]);
  return { title, prose: [], tables: [{ title: "Configuration", columns: ["key", ...names], rows }] };
}

function numbers({ rows, runs, curves: all }: RunComparison, names: readonly string[]): Section {
  const measured = (["train", "evaluation"] as const).flatMap((side) =>
    names.map((name, i) => ({
      head: `${name} ${side === "train" ? "train" : "eval"}`,
      cells: rows.map((row) => row[side][i] ?? null),
    })),
  );
  const columns = measured.filter(({ cells }) => cells.some((cell) => cell !== null));
  const steps = {
    title: "Loss at equal steps",
    caption: "Train: mean of the steps since the row above. Eval: measured at this step.",
    columns: ["step", ...columns.map(({ head }) => head)],
    rows: rows.map(({ step }, i) => [String(step), ...columns.map(({ cells }) => cells[i] ?? null)]),
  };
  const last = {
    title: "At the end",
    columns: ["", ...names],
    rows: [
      ["steps", ...runs.map(({ step }) => String(step))],
      ["last train loss", ...runs.map(({ train }) => train?.last ?? null)],
      ["best eval loss", ...runs.map(({ evaluation }) => evaluation?.best ?? null)],
      ["bits per byte", ...all.map(({ bitsPerByte }) => bitsPerByte)],
      ["tokens per second", ...all.map(({ tokensPerSecond }) => tokensPerSecond)],
    ],
  };
  return { title: "Numbers", prose: [], tables: rows.length > 0 ? [steps, last] : [last] };
}

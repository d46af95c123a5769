/** What `layerwise inspect` found, as one HTML page made like a study's report. */
import { type Finding, layerCurves, rowNorms, tensorStatistics } from "../inspect/index.js";
import type { Axis, Fact, Figure, Panel, Section, Table } from "../studies/study-report.js";
import { formatShape, type NDArray } from "../tensor/index.js";
import { fewerCells, type Matrix, matricesOf } from "./cells.js";
import { html } from "./html.js";
import { documentHtml, sectionHtml, subjects } from "./page.js";
import { createPalette } from "./palette.js";

export interface InspectReport {
  readonly title: string;
  readonly command: string;
  readonly facts: readonly Fact[];
  readonly findings: readonly Finding[];
  /** What each token of the input says, if it is a text. */
  readonly tokens?: readonly string[] | undefined;
  /** What a token says. */
  readonly say?: ((id: number) => string) | undefined;
}

/** More pictures than this are left out, and the page says so. */
const mostFigures = 48;
/** Heads or slices that one figure shows. */
const mostPanels = 16;

export function inspectReport(report: InspectReport): string {
  const { title, command, facts, findings } = report;
  const measured = findings.filter(({ kind }) => kind !== "angular" && kind !== "lens");
  const curves = curvesOf(measured);
  const pictured = findings.slice(0, mostFigures).flatMap((finding) => picture(finding, report));
  const left = findings.length - mostFigures;
  const sections: Section[] = [
    ...(measured.length > 0 ? [{ title: "Statistics", prose: [], tables: [statistics(measured)] }] : []),
    ...(curves.length > 0 ? [{ title: "Over the layers", prose: [], figures: curves }] : []),
    ...pictured,
    ...(left > 0 ? [{ title: "Not drawn", prose: [`${left} more tensors are in the table alone.`] }] : []),
  ];
  const palette = createPalette(
    sections.flatMap(({ figures = [] }) => figures.flatMap(subjects).map(({ key }) => key)),
  );
  return documentHtml(
    title,
    html`<header class="hero">
<p class="eyebrow">layerwise inspect</p>
<h1>${title}</h1>
<dl>${facts.map(({ label, value }) => html`<div><dt>${label}</dt><dd>${value}</dd></div>`)}</dl>
</header>
<main>
${sections.map((section, i) => sectionHtml(section, i, palette))}
</main>
<footer><p>Made by <code>${command}</code>.</p></footer>`,
  );
}

function statistics(findings: readonly Finding[]): Table {
  const all = findings.map(({ value }) => tensorStatistics(value));
  const broken = all.some(({ nonFinite }) => nonFinite > 0) ? ["not finite"] : [];
  return {
    title: "Tensors",
    caption:
      "Curve: the norm of each row (token), in order. Kurtosis is 3 for a normal distribution; outliers are further than 6σ from the mean.",
    columns: [
      "tensor",
      "shape",
      "rows",
      "mean",
      "std",
      "max |x|",
      "norm",
      "zeros %",
      "outliers %",
      "kurtosis",
      ...broken,
    ],
    rows: findings.map(({ name, value }, i) => {
      const { mean, std, maximum, norm, zeros, outliers, kurtosis, nonFinite } = all[i] as (typeof all)[0];
      const numbers = [mean, std, maximum, norm, 100 * zeros, 100 * outliers, kurtosis];
      const rows = rowNorms(value);
      return [
        name,
        formatShape(value.shape),
        rows.length > 1 ? { spark: rows.slice(0, 256).map(orNull) } : null,
        ...[...numbers, ...(broken.length > 0 ? [nonFinite] : [])].map(orNull),
      ];
    }),
  };
}

const orNull = (x: number): number | null => (Number.isFinite(x) ? x : null);

function curvesOf(findings: readonly Finding[]): Figure[] {
  const groups = layerCurves(findings);
  const named = [
    ["norm", "Norm", "‖x‖₂"],
    ["std", "Standard deviation", "σ"],
    ["maximum", "Largest value", "max |x|"],
  ] as const;
  if (groups.length === 0) return [];
  return named.map(([key, title, label]) => {
    const values = groups.map(({ statistics: own }) => own.map((one) => orNull(one[key])));
    return {
      kind: "lines",
      title,
      caption: "Of the same tensor of each layer.",
      x: { label: "layer" },
      y: { label, ...curveScale(values.flat()) },
      series: groups.map(({ name, layers }, i) => ({ key: name, name, runs: [{ x: layers, y: values[i] ?? [] }] })),
    };
  });
}

/** Logarithmic where curves are orders of magnitude apart. */
function curveScale(values: readonly (number | null)[]): Pick<Axis, "scale"> {
  const sizes = values.filter((v) => v !== null);
  const [low, high] = [Math.min(...sizes), Math.max(...sizes)];
  return low > 0 && high > 20 * low ? { scale: "log" } : {};
}

/** Logarithmic where a few values dwarf the others. */
function scaleOf(values: readonly (number | null)[]): Pick<Axis, "scale"> {
  const sizes = values.flatMap((v) => (v === null || v <= 0 ? [] : [v])).sort((a, b) => a - b);
  const median = sizes[Math.floor(sizes.length / 2)] ?? 0;
  return (sizes.at(-1) ?? 0) > 20 * median && sizes.length === values.length ? { scale: "log" } : {};
}

function picture(finding: Finding, report: InspectReport): Section[] {
  const { name, kind, value } = finding;
  if (kind === "lens") return name === "lens/token" ? [lens(finding, report)] : [];
  if (kind === "angular" && value.shape.length === 2 && value.shape[0] === value.shape[1]) return [angular(finding)];
  if (value.size < 2) return [];
  const matrices = matricesOf(value);
  const shown = matrices.slice(0, mostPanels);
  const prose = [
    `${value.dtype}${formatShape(value.shape)}`,
    ...(shown.length < matrices.length ? [`The first ${shown.length} of ${matrices.length} slices.`] : []),
  ];
  const figure = value.shape.length === 1 ? line(finding) : heat(finding, shown, report);
  return [{ title: name, prose, figures: [figure] }];
}

function line({ name, value }: Finding): Figure {
  const y = value.toNumbers().map(orNull);
  const run = { x: y.map((_, i) => i), y };
  const caption = "Every value, in order.";
  return {
    kind: "lines",
    title: "Values",
    caption,
    x: { label: "index" },
    y: { label: "value" },
    series: [{ key: name, name: "value", runs: [run] }],
  };
}

/** Attention as it is; of other tensors the size of the values, as signs would cancel where cells are joined. */
function heat({ kind, value }: Finding, matrices: readonly Matrix[], { tokens }: InspectReport): Figure {
  const isAttention = kind === "attention";
  const cells = matrices.map(fewerCells);
  const [first] = cells as [(typeof cells)[0]];
  const names = (count: number): readonly string[] | undefined =>
    tokens !== undefined && tokens.length === count ? tokens : undefined;
  const rowNames = names(first.rows.length);
  const columnNames = isAttention ? names(first.columns.length) : undefined;
  return {
    kind: "heat-map",
    title: isAttention ? "Who looks at whom" : "Size of the values",
    caption: isAttention
      ? "Each row is a token, each column one that it looks at; a row adds up to 1."
      : `The size of each value${first.isJoined ? "; where there are more than cells, the largest of each cell" : ""}. A column that is high throughout is a channel of outliers.`,
    x: { label: isAttention ? "key" : "channel" },
    y: { label: isAttention ? "query" : rowNames ? "token" : "row" },
    value: isAttention
      ? { label: "weight", min: 0, max: 1 }
      : { label: "|x|", ...scaleOf(cells.flatMap(({ values }) => values.flat())) },
    columns: first.columns,
    rows: first.rows,
    ...(rowNames && { rowNames }),
    ...(columnNames && { columnNames }),
    downward: true,
    panels: matrices.map(({ name: slice }, i): Panel => {
      const label =
        slice === "" ? `${value.shape.join(" × ")}` : isAttention ? `head ${slice.split(", ").at(-1)}` : `[${slice}]`;
      return { key: label, name: label, values: cells[i]?.values ?? [] };
    }),
  };
}

function angular({ value }: Finding): Section {
  const [size] = value.shape as [number];
  const at = (i: number): number | null => orNull(value.at(i));
  const values = Array.from({ length: size }, (_, r) => Array.from({ length: size }, (_, c) => at(r * size + c)));
  const caption = "At the last token. Low: layers that hardly turn the stream.";
  return {
    title: "Angular distance",
    prose: [],
    figures: [
      {
        kind: "angular-heat-map",
        title: "From layer to layer",
        caption,
        panels: [{ key: "angular", name: "stream", values }],
      },
    ],
  };
}

const stateName = (l: number): string => (l === 0 ? "embedding" : `layer ${l - 1}`);

/** What the model would say after every layer: how sure it is as a picture, what as a table. */
function lens(tokens: Finding, { findings, tokens: texts, say = String }: InspectReport): Section {
  const probability = findings.find(({ name }) => name === "lens/probability")?.value as NDArray;
  const [states, , length] = tokens.value.shape as [number, number, number];
  const batch = tokens.value.shape[1] as number;
  const at = (array: NDArray, layer: number, t: number): number => array.at(layer * batch * length + t);
  const places = Array.from({ length }, (_, t) => t);
  const layers = Array.from({ length: states }, (_, l) => l);
  const labels = texts?.length === length ? texts : places.map(String);
  const figure: Figure = {
    kind: "heat-map",
    title: "How sure the model is after each layer",
    caption: "The probability of the likeliest next token.",
    x: { label: "token" },
    y: { label: "after" },
    value: { label: "probability", min: 0, max: 1 },
    columns: places,
    rows: layers,
    columnNames: labels,
    rowNames: layers.map(stateName),
    panels: [
      { key: "lens", name: "likeliest token", values: layers.map((l) => places.map((t) => at(probability, l, t))) },
    ],
  };
  return {
    title: "Logit lens",
    prose: [],
    figures: [figure],
    tables: [
      {
        title: "The likeliest next token",
        columns: ["after", ...layers.map(stateName)],
        rows: places.map((t) => [
          labels[t] ?? "",
          ...layers.map((l) => `${say(at(tokens.value, l, t))} ${at(probability, l, t).toFixed(2)}`),
        ]),
      },
    ],
  };
}

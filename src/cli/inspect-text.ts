/** What `layerwise inspect` writes to a terminal. */
import {
  type Finding,
  type Inspectable,
  layerCurves,
  type OnnxValue,
  rowNorms,
  tensorStatistics,
} from "../inspect/index.js";
import { type Matrix, matricesOf } from "../report/cells.js";
import { printable } from "../report/html.js";
import { formatShape, type NDArray } from "../tensor/index.js";
import { Curve } from "./sparkline.js";
import { type Column, cut, foldedTable, textTable } from "./text-table.js";

export interface Reading {
  /** What each token of the input says. */
  readonly tokens?: readonly string[] | undefined;
  readonly say?: ((id: number) => string) | undefined;
  readonly width: number;
}

/** Spaces and line ends of a token are shown, or nobody would see them. */
export const visible = (token: string): string =>
  printable(token.replaceAll(" ", "␣").replaceAll("\n", "⏎").replaceAll("\t", "⇥").replaceAll("\r", "␍"));

/** The module tree with layers folded into one, each line a query that can be copied. */
export function modelText(points: readonly Inspectable[], modules: readonly string[], width: number): string[] {
  const order = new Map(modules.map((path, i) => [path, i]));
  const moduleOf = ({ name, kind }: Inspectable) =>
    kind === "parameter" ? name.replace(/\.?[^.]*$/, "") : name.replace(/:out(#\d+)?$/, "");
  const shown = points
    .filter(({ kind }) => kind === "parameter" || kind === "output")
    .map((point) => ({ point, place: (order.get(moduleOf(point)) ?? 0) + (point.kind === "parameter" ? 0.5 : 0) }))
    .sort((a, b) => a.place - b.place);
  const rows = new Map<string, { query: string; what: string; shape: string; count: number }>();
  for (const { point } of shown) {
    const { name, kind, dtype } = point;
    const plain = kind === "parameter" ? name.replace(/\.([^.]*)$/, ":$1") : name.replace(/(.):out$/, "$1");
    const query = plain.replace(/\.\d+(?=[.:]|$)/g, ".*");
    const shape = `${dtype}${formatShape(point.shape)}`;
    const key = `${query} ${shape}`;
    const row = rows.get(key) ?? { query, what: kind, shape, count: 0 };
    rows.set(key, { ...row, count: row.count + 1 });
  }
  const all = [...rows.values()];
  return textTable(
    [
      { head: "query", cells: all.map(({ query }) => query) },
      { head: "is", cells: all.map(({ what }) => what) },
      { head: "shape", cells: all.map(({ shape }) => shape) },
      { head: "", cells: all.map(({ count }) => (count > 1 ? `× ${count}` : "")) },
    ],
    width,
  );
}

export function onnxText(values: readonly OnnxValue[], width: number): string[] {
  const shapeText = ({ dtype, shape }: OnnxValue) => `${dtype ?? "?"}${shape ? `[${shape.join(", ")}]` : ""}`;
  return textTable(
    [
      { head: "shape", cells: values.map((value) => printable(shapeText(value))) },
      { head: "is", cells: values.map(({ kind, operator }) => printable(operator === "" ? kind : operator)) },
      { head: "query", cells: values.map(({ name }) => printable(name)) },
    ],
    width,
  );
}

/** Which tensors hold numbers that are none, the first in order of computation first. */
export function notFiniteText(findings: readonly Finding[]): string[] {
  const bad = findings
    .filter(({ kind }) => kind !== "angular")
    .map(({ name, value }) => ({ name, count: tensorStatistics(value).nonFinite, size: value.size }))
    .filter(({ count }) => count > 0);
  if (bad.length === 0) return [];
  const lines = bad.slice(0, 8).map(({ name, count, size }) => `  ${name}: ${count} of ${size} values`);
  return ["Not finite:", ...lines, ...(bad.length > 8 ? [`  and ${bad.length - 8} more`] : []), ""];
}

export function statisticsText(findings: readonly Finding[], width: number): string[] {
  const all = findings.map(({ value }) => tensorStatistics(value));
  const number = (head: string, cell: (i: number) => string): Column => ({
    head,
    right: true,
    cells: all.map((_, i) => cell(i)),
  });
  const columns: Column[] = [
    { head: "tensor", cells: findings.map(({ name }) => name) },
    { head: "shape", cells: findings.map(({ value }) => formatShape(value.shape)) },
    number("mean", (i) => brief(all[i]?.mean)),
    number("std", (i) => brief(all[i]?.std)),
    number("max |x|", (i) => brief(all[i]?.maximum)),
    number("norm", (i) => brief(all[i]?.norm)),
    number("zeros", (i) => percent(all[i]?.zeros)),
    number("outliers", (i) => percent(all[i]?.outliers)),
    number("kurtosis", (i) => brief(all[i]?.kurtosis)),
    { head: "rows", cells: findings.map(({ value }) => sparkline(rowNorms(value), 16)) },
  ];
  const curves = layerCurves(findings).map(({ name, statistics }) => {
    const norms = statistics.map(({ norm }) => norm);
    return cut(`${name}  norm ${brief(norms[0])} ${sparkline(norms, 32)} ${brief(norms.at(-1))}`, width);
  });
  return [...foldedTable(columns, width), ...(curves.length > 0 ? ["", "Over the layers:", ...curves] : [])];
}

const brief = (x: number | undefined): string =>
  x === undefined || Number.isNaN(x) ? "–" : Number.isInteger(x) && Math.abs(x) < 1e6 ? String(x) : x.toPrecision(4);
const percent = (share: number | undefined): string =>
  share === undefined || Number.isNaN(share) ? "–" : `${(100 * share).toPrecision(3)} %`;

export function sparkline(values: readonly number[], width: number): string {
  if (values.length < 2) return "";
  const curve = new Curve();
  for (const value of values) curve.add(value);
  return curve.draw(width);
}

/** One tensor as numbers, as a picture of who looks at whom, or as what the model would say. */
export function findingText(finding: Finding, reading: Reading): string[] {
  const { name, kind, value } = finding;
  const head = `${name}  ${value.dtype}${formatShape(value.shape)}`;
  if (kind === "attention" && value.shape.length >= 2) return [head, ...attentionText(value, reading)];
  return [head, ...numbersText(value, reading)];
}

const shades = [" ", "░", "▒", "▓", "█"];
const mostMaps = 4;

/** A square for each pair of tokens, a row for each query: empty below 5 %, full from 80 %. */
function attentionText(value: NDArray, { tokens, width }: Reading): string[] {
  const maps = matricesOf(value);
  const shade = (weight: number): string => shades[weight < 0.05 ? 0 : Math.min(4, 1 + Math.floor(4 * weight))] ?? "?";
  const drawn = maps.slice(0, mostMaps).flatMap(({ name, height, width: keys, at }) => {
    const labels = labelsOf(tokens, height);
    const side = Math.max(...labels.map((label) => [...label].length));
    const row = (r: number): string => Array.from({ length: keys }, (_, c) => shade(at(r, c))).join("");
    return [
      ...(name === "" ? [] : [`[${name}]`]),
      ...labels.map((label, r) => cut(`${label.padStart(side)} ${row(r)}`, width).trimEnd()),
    ];
  });
  return [
    ...drawn,
    ...(maps.length > mostMaps
      ? [`and ${maps.length - mostMaps} more maps: ask for one by an index, or for --report`]
      : []),
  ];
}

const labelsOf = (tokens: readonly string[] | undefined, count: number): readonly string[] =>
  tokens?.length === count
    ? tokens.map((token) => cut(visible(token), 12))
    : Array.from({ length: count }, (_, i) => String(i));

const edge = 3;
const mostSlices = 2;

/** As NumPy prints: the first and the last rows and columns of the first slices. */
function numbersText(value: NDArray, { tokens, width }: Reading): string[] {
  if (value.size === 0) return ["  empty"];
  if (value.shape.length === 0) return [`  ${brief(value.item())}`];
  const matrices = matricesOf(value);
  const lines = matrices.slice(0, mostSlices).flatMap((matrix) => matrixText(matrix, tokens, width));
  return matrices.length > mostSlices ? [...lines, `  … ${matrices.length - mostSlices} more slices`] : lines;
}

function matrixText(
  { name, height, width: count, at }: Matrix,
  tokens: readonly string[] | undefined,
  width: number,
): string[] {
  const labels = labelsOf(tokens, height);
  const fit = Math.max(2, Math.floor((width - 14) / 12) - 1);
  const columns = ends(count, Math.ceil(fit / 2), Math.floor(fit / 2));
  const lines = ends(height, edge + 3, edge);
  const cell = (r: number, c: number): string => (r < 0 || c < 0 ? "…" : brief(at(r, c)));
  return [
    ...(name === "" ? [] : [`[${name}]`]),
    ...textTable(
      [
        { head: "", right: true, cells: lines.map((r) => (r < 0 ? "…" : height === 1 ? "" : (labels[r] ?? ""))) },
        ...columns.map((c) => ({ head: c < 0 ? "…" : String(c), right: true, cells: lines.map((r) => cell(r, c)) })),
      ],
      width,
    ).map((line) => `  ${line}`),
  ];
}

/** The first and the last places, -1 for those left out between them. */
function ends(count: number, first: number, last: number): number[] {
  const all = Array.from({ length: count }, (_, i) => i);
  return count <= first + last ? all : [...all.slice(0, first), -1, ...all.slice(count - last)];
}

/** A column for each token, a line for each layer: what would come next. */
export function lensText(token: NDArray, probability: NDArray, { tokens, say = String, width }: Reading): string[] {
  const [states, batch, length] = token.shape as [number, number, number];
  const layers = Array.from({ length: states }, (_, l) => l);
  const column = (t: number): Column => ({
    head: labelsOf(tokens, length)[t] ?? "",
    cells: layers.map((l) => {
      const at = l * batch * length + t;
      return `${cut(visible(say(token.at(at))), 12)} ${probability.at(at).toFixed(2)}`;
    }),
  });
  return [
    "The likeliest next token after each layer, and how likely it is",
    ...foldedTable(
      [
        { head: "after", cells: layers.map((l) => (l === 0 ? "embedding" : `layer ${l - 1}`)) },
        ...Array.from({ length }, (_, t) => column(t)),
      ],
      width,
    ),
  ];
}

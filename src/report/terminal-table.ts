import { paper } from "../catalogue/catalogue.js";
import type { Claim, Verdict } from "../catalogue/claim.js";
import type { PaperVerdicts } from "../studies/study-report.js";
import { formatMeasurement, formatP } from "./format.js";
import { printable } from "./html.js";

export interface TerminalOptions {
  /** Columns of the terminal; lines are never longer. At least 60. */
  readonly width: number;
  /** ANSI colours for the verdicts; off for files and `NO_COLOR`. */
  readonly color?: boolean;
}

const signs: Readonly<Record<Verdict, string>> = {
  holds: "✓ holds",
  "does not hold": "✗ does not",
  inconclusive: "? unclear",
};
const inks: Readonly<Record<Verdict, number>> = { holds: 32, "does not hold": 31, inconclusive: 33 };
const verdictWidth = 10;
const gap = "  ";

/**
 * The verdicts of a study for a terminal: papers as headings, one claim per row, words wrapped inside their columns.
 * Below 110 columns the two measured values share a column, one above the other.
 */
export function terminalTable(papers: readonly PaperVerdicts[], options: TerminalOptions): string {
  const width = Math.max(60, options.width);
  const claims = papers.flatMap((group) => group.claims);
  const layout = width < 110 ? stacked(claims, width) : sideBySide(claims, width);
  const body = [
    ...papers.flatMap(({ paper: id, claims: rows }, i) => [
      ...(i > 0 ? [""] : []),
      ...wrap(`${paper(id).title} (${paper(id).year})`, width).map((text) => style(text, 1, options)),
      ...rows.flatMap((claim) => row(layout, claim, options)),
    ]),
  ];
  const head = layout.line(layout.heads);
  const lines = [head, "─".repeat(columnsOf(head)), ...body];
  return `${lines.map((line) => line.trimEnd()).join("\n")}\n`;
}

interface Layout {
  readonly heads: readonly string[];
  readonly line: (cells: readonly string[]) => string;
  readonly cells: (claim: Claim) => readonly (readonly string[])[];
}

/** verdict | claim, metric, note | baseline over measured | p over n */
function stacked(claims: readonly Claim[], width: number): Layout {
  const value = widest(claims.flatMap((c) => [both(c)[0], both(c)[1]]));
  const right = Math.min(value, Math.floor(width * 0.42));
  const text = width - verdictWidth - right - pWidth - 3 * gap.length;
  return {
    heads: ["VERDICT", "CLAIM", "BASELINE, MEASURED", "P"],
    line: aligned([verdictWidth, text, right, pWidth], [false, false, false, true]),
    cells: (claim) => [
      [signs[claim.verdict]],
      words(claim, text),
      both(claim).flatMap((side) => wrap(side, right)),
      [formatP(claim.pValue), runs(claim)],
    ],
  };
}

/** verdict | claim, metric, note | baseline | measured | p | n */
function sideBySide(claims: readonly Claim[], width: number): Layout {
  const widths = [0, 1].map((side) => Math.min(36, Math.max(8, widest(claims.map((c) => both(c)[side] ?? "")))));
  const [left = 8, right = 8] = widths;
  const text = Math.min(100, width - verdictWidth - left - right - pWidth - 8 - 5 * gap.length);
  return {
    heads: ["VERDICT", "CLAIM", "BASELINE", "MEASURED", "P", "RUNS"],
    line: aligned([verdictWidth, text, left, right, pWidth, 8], [false, false, false, false, true, true]),
    cells: (claim) => [
      [signs[claim.verdict]],
      words(claim, text),
      wrap(both(claim)[0], left),
      wrap(both(claim)[1], right),
      [formatP(claim.pValue)],
      [runs(claim)],
    ],
  };
}

const pWidth = 8;
const both = ({ baseline, measured }: Claim): readonly [string, string] => [
  `${baseline.label} ${formatMeasurement(baseline)}`,
  `${measured.label} ${formatMeasurement(measured)}`,
];
const runs = ({ n }: Claim): string => (n === 1 ? "1 run" : `${n} runs`);
const widest = (texts: readonly string[]): number => Math.max(0, ...texts.map(columnsOf));

function words({ claim, metric, note }: Claim, width: number): string[] {
  const indented = (text: string): string[] => wrap(text, width - 2).map((line) => `  ${line}`);
  return [...wrap(claim, width), ...indented(metric), ...(note ? indented(`Note: ${note}`) : [])];
}

function row(layout: Layout, claim: Claim, options: TerminalOptions): string[] {
  const cells = layout.cells(claim);
  const height = Math.max(...cells.map((cell) => cell.length));
  return Array.from({ length: height }, (_, i) => {
    const line = layout.line(cells.map((cell) => cell[i] ?? ""));
    if (i > 0) return line;
    return style(line.slice(0, verdictWidth), inks[claim.verdict], options) + line.slice(verdictWidth);
  });
}

function aligned(widths: readonly number[], toTheRight: readonly boolean[]): (cells: readonly string[]) => string {
  return (cells) =>
    cells
      .map((cell, i) => {
        const space = " ".repeat(Math.max(0, (widths[i] ?? 0) - columnsOf(cell)));
        return toTheRight[i] ? space + cell : cell + space;
      })
      .join(gap);
}

/** Lines of at most `width` columns, broken between words; a word that is longer is broken inside. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (let word of printable(text).split(/\s+/)) {
    if (line && columnsOf(line) + 1 + columnsOf(word) <= width) {
      line += ` ${word}`;
      continue;
    }
    if (line) lines.push(line);
    for (; columnsOf(word) > width; word = [...word].slice(width).join(""))
      lines.push([...word].slice(0, width).join(""));
    line = word;
  }
  return [...lines, line];
}

/** Columns a text takes, one per code point: enough for the letters, signs and numbers of a verdict. */
const columnsOf = (text: string): number => [...text].length;

function style(text: string, code: number, { color = false }: TerminalOptions): string {
  return color ? `\u001b[${code}m${text}\u001b[0m` : text;
}

/** What the bench says, on the terminal and in README.md, from the results that it has kept. */
import { readFileSync, writeFileSync } from "node:fs";
import { tablesOf } from "./tables.js";

/** Tables for a terminal: columns of equal width, the first line underlined. */
export function asText(part, result) {
  return tablesOf[part](result).map(textTable).join("\n\n");
}

function textTable({ columns, rows, notes = [] }) {
  const cells = [columns, ...rows].map((row) => row.map((cell) => cell.replaceAll("**", "").replaceAll("`", "")));
  const widths = columns.map((_, i) => Math.max(...cells.map((row) => row[i]?.length ?? 0)));
  const line = (row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i]))
      .join("  ")
      .trimEnd();
  const [head, ...body] = cells.map(line);
  return [head, "─".repeat(Math.max(...[head, ...body].map(({ length }) => length))), ...body, ...notes].join("\n");
}

function markdownTable({ columns, rows, notes = [] }) {
  const cell = (text) => text.replaceAll("|", "\\|").replaceAll("\n", " ");
  const line = (row) => `| ${columns.map((_, i) => cell(row[i] ?? "")).join(" | ")} |`;
  const table = [line(columns), line(columns.map(() => "---")), ...rows.map(line)].join("\n");
  return [table, ...(notes.length > 0 ? [notes.join(" ")] : [])].join("\n\n");
}

const machineOf = ({ machine, engine, node }) => `${machine}; Node ${node}, ${engine}`;

/**
 * All parts that were measured, as Markdown. Those that were measured on one machine say so once; what the norms cost has a page
 * of its own.
 */
export function asMarkdown({ parts }) {
  const shown = Object.keys(tablesOf).filter((part) => parts[part] && part !== "norms");
  if (shown.length === 0) return "Nothing is measured yet: `npm run bench -- --readme`.";
  const machines = new Set(shown.map((part) => machineOf(parts[part])));
  const told = machines.size === 1 ? ` ${[...machines][0]}.` : "";
  const blocks = shown.map((part) => {
    const { result, date, turns, command, ...about } = parts[part];
    const where = machines.size === 1 ? "" : `; ${machineOf(about)}`;
    const count = turns === 1 ? "one turn" : `${turns} turns`;
    return `${tablesOf[part](result).map(markdownTable).join("\n\n")}\n\n${date.slice(0, 10)}, ${count}, \`${command}\`${where}.`;
  });
  const head =
    `Drawn by \`npm run bench -- --readme\`.${told} Medians, with the least and the greatest of the turns; all sides take turns within one run. ` +
    "**3 times** beside a peer: layerwise is 3 times as fast (or takes a third of the memory), the median of the turns' ratios; " +
    "below 1 the peer is better.";
  return [head, ...blocks].join("\n\n");
}

const [start, end] = ["<!-- bench -->", "<!-- /bench -->"];

/** The text with what stands between the markers drawn anew. */
export function drawn(text, results) {
  const [from, to] = [text.indexOf(start), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`README.md: expected the lines "${start}" and "${end}", in this order`);
  return `${text.slice(0, from)}${start}\n${asMarkdown(results)}\n${text.slice(to)}`;
}

export function writeReadme(file, results) {
  writeFileSync(file, drawn(readFileSync(file, "utf8"), results));
}

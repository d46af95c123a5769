// Draws the table of papers in README.md, between the two markers, from the built catalogue and its recorded results.
// With --check it changes nothing and exits with 1 when the table is not what it would draw.
import { readFileSync, writeFileSync } from "node:fs";
import { papers } from "../dist/catalogue/index.js";
import { readResult } from "../dist/catalogue/results.js";

const start = "<!-- papers: drawn by scripts/readme-table.js -->";
const end = "<!-- /papers -->";
const readme = new URL("../README.md", import.meta.url);

const text = readFileSync(readme, "utf8");
const [from, to] = [text.indexOf(start), text.indexOf(end)];
if (from < 0 || to < from) {
  console.error(`README.md: expected the lines "${start}" and "${end}", in this order`);
  process.exit(1);
}
const drawn = `${text.slice(0, from)}${start}\n\n${table()}\n\n${text.slice(to)}`;
if (process.argv.includes("--check")) {
  if (drawn !== text) {
    console.error("README.md: the table of papers is out of date; run `node scripts/readme-table.js` after a build");
    process.exit(1);
  }
  console.log("README.md: the table of papers is up to date");
} else writeFileSync(readme, drawn);

/** What is done first, each group newest first. */
function table() {
  const rows = [...papers.filter(({ state }) => state === "done"), ...papers.filter(({ state }) => state !== "done")];
  return ["| paper | year | kind | state | measured here |", "| --- | --- | --- | --- | --- |", ...rows.map(row)].join(
    "\n",
  );
}

function row({ id, title, year, kind, link, state }) {
  const name = link ? `[${cell(title)}](${link})` : cell(title);
  return `| ${name} \`${id}\` | ${year} | ${kind} | ${state} | ${measured(readResult(id))} |`;
}

/** "3 of 4 claims hold (2026-11-25)". */
function measured(result) {
  if (!result) return "";
  const holding = result.claims.filter(({ verdict }) => verdict === "holds").length;
  return `${holding} of ${result.claims.length} claims hold (${result.date})`;
}

/** Keeps a title inside its cell. */
function cell(title) {
  return title.replaceAll("|", "\\|");
}

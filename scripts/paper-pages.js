// Writes docs/papers/<id>.md for every paper that is done, from the built catalogue, the docstring at the head of the
// paper's file (found by its id) and its recorded results, and docs/papers/README.md over all of them.
// With --check it changes nothing and exits with 1 when a page is not what it would write.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { papers } from "../dist/catalogue/index.js";
import { readResult } from "../dist/catalogue/results.js";

const root = new URL("../", import.meta.url);
const read = (path) => readFileSync(new URL(path, root), "utf8");
const done = papers.filter(({ state }) => state === "done");
const pages = new Map([["README", index()], ...done.map((paper) => [paper.id, page(paper)])]);

if (process.argv.includes("--check")) {
  const stale = [...pages].filter(([name, text]) => !existsSync(at(name)) || readFileSync(at(name), "utf8") !== text);
  if (stale.length > 0) {
    console.error(
      `docs/papers: out of date: ${stale.map(([name]) => name).join(", ")}; run \`node scripts/paper-pages.js\` after a build`,
    );
    process.exit(1);
  }
  console.log(`docs/papers: ${pages.size} pages are up to date`);
} else {
  mkdirSync(new URL("docs/papers/", root), { recursive: true });
  for (const [name, text] of pages) writeFileSync(at(name), text);
}

function at(name) {
  return new URL(`docs/papers/${name}.md`, root);
}

function page({ id, title, year, link, summary, when, example, exports, study }) {
  const source = sourceOf(id);
  return `# ${title}

${summary}

## When to use it

${when}

## How

\`\`\`ts
${example}
\`\`\`

Exported: ${exports.map((name) => `\`${name}\``).join(", ")}. Source: [\`${source}\`](../../${source}).

## What it computes

\`\`\`text
${docstring(source)}
\`\`\`

## What we measured

${measured(id, study)}
## Citation

${title}, ${year}.${link ? ` <${link}>` : ""}
`;
}

/** The claims with their numbers, as they were last recorded. */
function measured(id, study) {
  const result = readResult(id);
  if (!result) return `\`layerwise reproduce ${study}\` measures its claims; no result is recorded yet.\n`;
  const rows = result.claims.map(
    ({ claim, verdict, baseline, measured: ours, pValue }) =>
      `| ${verdict} | ${cell(claim)} | ${side(baseline)} | ${side(ours)} | ${probability(pValue)} |`,
  );
  return `\`layerwise reproduce ${study}\`, ${result.date}, ${result.seconds} s on ${result.machine}:

| verdict | claim | baseline | measured | p |
| --- | --- | --- | --- | --- |
${rows.join("\n")}

A claim holds only at p < 0.01 over its runs; values are means ± standard error.
`;
}

function probability(p) {
  if (p === null) return "–";
  return p < 0.0001 ? "< 0.0001" : p.toPrecision(2);
}

function side({ label, mean, standardError }) {
  const number = (x) =>
    x === 0 || (Math.abs(x) >= 1e-3 && Math.abs(x) < 1e5) ? Number(x.toPrecision(4)).toString() : x.toExponential(1);
  const value = mean === null ? "diverged" : `${number(mean)}${standardError ? ` ± ${number(standardError)}` : ""}`;
  return `${cell(label)}: ${value}`;
}

function cell(text) {
  return text.replaceAll("|", "\\|");
}

/** The file called after the paper. */
function sourceOf(id) {
  const files = readdirSync(new URL("src/", root), { recursive: true }).map((name) => name.split("\\").join("/"));
  const own = files.filter((name) => name.endsWith(`/${id}.ts`) && !/^(catalogue|studies)\//.test(name));
  if (own.length !== 1) throw new Error(`${id}: expected one file ${id}.ts, found ${own.join(", ") || "none"}`);
  return `src/${own[0]}`;
}

/** The comment at the head of a file, without its stars. */
function docstring(path) {
  const [, text] = /^\/\*\*\n(.*?)\n \*\//s.exec(read(path)) ?? [];
  if (text === undefined) throw new Error(`${path}: expected a docstring at its head`);
  return text.replace(/^ \* ?/gm, "").trimEnd();
}

function index() {
  const row = (paper) => {
    const result = readResult(paper.id);
    const holding = result?.claims.filter(({ verdict }) => verdict === "holds").length;
    const told = result ? `${holding} of ${result.claims.length} claims hold` : "";
    return `| [${cell(paper.title)}](${paper.id}.md) | ${paper.year} | ${paper.kind} | ${told} |`;
  };
  return `# The papers that are here

Each page says what the paper does, when to use it, how, and what we measured. [Which norm?](../choose-a-norm.md) compares
the norms.

| paper | year | kind | measured here |
| --- | --- | --- | --- |
${done.map(row).join("\n")}
`;
}

import { type Command, InvalidArgumentError, Option } from "commander";
import { paper, papers } from "../catalogue/catalogue.js";
import { type Kind, kinds, type Paper } from "../catalogue/paper.js";
import { type Result, readResult } from "../catalogue/results.js";

interface Options {
  readonly json?: true;
  readonly done?: true;
  readonly kind?: Kind;
}

export function registerPapers(program: Command): void {
  program
    .command("papers")
    .description("list the papers of the catalogue, or show one")
    .argument("[id]", "show this paper alone")
    .addOption(new Option("--kind <kind>", `only this kind: ${Object.keys(kinds).join(", ")}`).argParser(parseKind))
    .option("--done", "only what is implemented")
    .option("--json", "as JSON")
    .action((id: string | undefined, options: Options) => {
      process.stdout.write(id === undefined ? list(options) : show(id, options));
    });
}

function list({ json, done, kind }: Options): string {
  const chosen = papers.filter((p) => (!done || p.state === "done") && (!kind || p.kind === kind));
  if (json) return `${JSON.stringify(chosen, null, 2)}\n`;
  if (chosen.length === 0) return "No paper of the catalogue matches.\n";
  const count = papers.filter((p) => p.state === "done").length;
  const foot = `\n${papers.length} papers, ${count} done. \`layerwise papers <id>\` shows one.\n`;
  return papersTable(chosen, terminalWidth()) + foot;
}

/** Wide enough for every column when piped into a file; a terminal gets its own width, 80 at least. */
function terminalWidth(): number {
  return process.stdout.isTTY ? Math.max(80, process.stdout.columns ?? 80) : Number.POSITIVE_INFINITY;
}

/** One line per paper, columns aligned; titles are cut so that no line is wider than `width`. */
export function papersTable(rows: readonly Paper[], width: number): string {
  const cells = [["ID", "YEAR", "KIND", "STATE"], ...rows.map((p) => [p.id, String(p.year), p.kind, p.state])];
  const titles = ["TITLE", ...rows.map((p) => p.title)];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  const room = width - widths.reduce((sum, w) => sum + w + 2, 0);
  const lines = cells.map((row, i) => {
    const left = row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ");
    return `${left}  ${cut(titles[i] ?? "", room)}`.trimEnd();
  });
  return `${lines.join("\n")}\n`;
}

function cut(text: string, room: number): string {
  const letters = [...text];
  return letters.length <= room
    ? text
    : `${letters
        .slice(0, Math.max(0, room - 1))
        .join("")
        .trimEnd()}…`;
}

function show(id: string, { json }: Options): string {
  const one = paper(id);
  const result = readResult(one.id);
  if (json) return `${JSON.stringify({ ...one, ...(result ? { result } : {}) }, null, 2)}\n`;
  const facts = [
    `${one.title} (${one.year})`,
    `${one.kind}, ${one.state}${one.link ? `, ${one.link}` : ""}`,
    "",
    ...wrap(one.summary, Math.min(100, terminalWidth())),
    ...(one.exports ? ["", `exports: ${one.exports.join(", ")}`] : []),
    ...(one.study ? ["", `measure its claims: layerwise study ${one.study}`] : []),
    ...(result ? ["", ...measured(result)] : []),
  ];
  return `${facts.join("\n")}\n`;
}

function measured({ date, claims }: Result): string[] {
  return [`measured ${date}:`, ...claims.map((claim) => `  ${claim.verdict.padEnd(14)}  ${claim.claim}`)];
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [""];
  for (const word of text.split(" ")) {
    const line = lines[lines.length - 1] ?? "";
    if (line.length + word.length + 1 > width) lines.push(word);
    else lines[lines.length - 1] = line ? `${line} ${word}` : word;
  }
  return lines;
}

function parseKind(text: string): Kind {
  if (Object.hasOwn(kinds, text)) return text as Kind;
  throw new InvalidArgumentError(`Kinds are ${Object.keys(kinds).join(", ")}.`);
}

/** `layerwise study placement` and `layerwise reproduce <id>`: train, show it live, write the report. */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { arch, cpus } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import type { PaperId } from "../catalogue/index.js";
import { type TextData, text } from "../data/text-files.js";
import { recordResults, terminalTable, writeReport, writeSummary } from "../report/index.js";
import { defaultBackend } from "../runtime/index.js";
import {
  angularCsv,
  fullScale,
  historyCsv,
  Laboratory,
  paperReport,
  paperStudy,
  placementStudy,
  quickScale,
  type RunDescription,
  type Scale,
  type StudyContext,
  studied,
} from "../studies/index.js";
import type { StudyReport } from "../studies/study-report.js";
import { fail } from "../tensor/errors.js";
import { endInterrupted, interruptible } from "./interrupt.js";
import { positiveNumber } from "./numbers.js";
import { type StudyView, studyView } from "./study-view.js";
import { terminalOf } from "./terminal.js";

interface Options {
  readonly text?: string[];
  readonly quick?: true;
  readonly seeds?: number;
  readonly steps?: number;
  readonly output?: string;
  readonly record?: true;
}

const examples = (command: string) => `
Examples:
  $ layerwise ${command}                      about four minutes on two cores
  $ layerwise ${command} --quick              under one minute, to see it work
  $ layerwise ${command} --text book.txt      on a text of your own
  $ layerwise ${command} --text "src/**/*.ts" --seeds 5`;

const reproduceExamples = `${examples("reproduce peri-ln")}
  $ layerwise reproduce --all --quick             every paper, under 15 minutes, with one page over all`;

export function registerStudies(program: Command): void {
  const study = program
    .command("study")
    .description("train models side by side and report what differs, layer by layer")
    .argument("<name>", "placement: where the norms of a transformer sit");
  shared(study).addHelpText("after", examples("study placement")).action(runStudy);
  const reproduce = program
    .command("reproduce")
    .description("measure what a paper claims")
    .argument("[id]", "a paper of the catalogue, see `layerwise papers`")
    .option("--all", "every paper that has a study, and a page over all of them");
  shared(reproduce).addHelpText("after", reproduceExamples).action(runReproduction);
}

const shared = (command: Command): Command =>
  command
    .option(
      "--text <paths...>",
      "files, folders or globs to learn from (default: the type declarations installed here)",
    )
    .option("--quick", "a small version that takes under a minute and decides little")
    .option("--seeds <n>", "how many times each model is trained", positiveNumber)
    .option("--steps <n>", "training steps of each model", positiveNumber)
    .option("--output <folder>", "where the report goes (default: runs/<study>)")
    .option("--record", "keep the results in the catalogue (for those who build it)");

async function runStudy(name: string, options: Options): Promise<void> {
  if (name !== "placement") fail("argument", `study: there is no study "${name}"; there is: placement`);
  const command = commandLine(`layerwise study ${name}`, options);
  await perform(async (signal) => {
    const { report, path } = await measure(placementStudy, name, command, options, signal);
    printVerdicts(report, path);
  });
}

async function runReproduction(id: string | undefined, options: Options & { readonly all?: true }): Promise<void> {
  if (options.all && id === undefined) return reproduceAll(options);
  if (id === undefined || options.all)
    fail(
      "argument",
      `reproduce: give a paper or --all, not ${id === undefined ? "nothing" : "both"}; papers: ${studied.join(", ")}`,
    );
  const study = await paperStudy(id);
  const command = commandLine(`layerwise reproduce ${id}`, options);
  await perform(async (signal) => {
    const { report, path } = await measure(paperReport.bind(null, study), id, command, options, signal);
    printVerdicts(report, path);
  });
}

/** One after the other; a study that fails does not keep the others from running, but the command then fails. */
async function reproduceAll(options: Options): Promise<void> {
  const folder = options.output ?? "runs";
  const done: { report: StudyReport; link: string }[] = [];
  const failed: { id: PaperId; problem: string }[] = [];
  await perform(async (signal) => {
    for (const [i, id] of studied.entries()) {
      process.stdout.write(`\n[${i + 1}/${studied.length}] ${id}\n`);
      try {
        const study = await paperStudy(id);
        const command = commandLine(`layerwise reproduce ${id}`, options);
        const output = join(folder, id);
        const made = await measure(paperReport.bind(null, study), id, command, { ...options, output }, signal);
        done.push({ report: made.report, link: `../${id}/report.html` });
        process.stdout.write(`${study.summary(made.report.papers.flatMap(({ claims }) => claims))}\n`);
      } catch (error) {
        if (signal.aborted) throw error;
        failed.push({ id, problem: error instanceof Error ? error.message : String(error) });
        process.stdout.write(`failed: ${failed.at(-1)?.problem}\n`);
      }
    }
  });
  const page = writeSummary(
    { studies: done, failed, command: commandLine("layerwise reproduce --all", options) },
    join(folder, "reproduce"),
  );
  const { columns } = terminal();
  process.stdout.write(
    `\n${terminalTable(
      done.flatMap(({ report }) => report.papers),
      { width: columns, color: process.stdout.isTTY === true },
    )}\nAll reports: ${relative(process.cwd(), page)}\n`,
  );
  if (failed.length > 0)
    fail("numeric", `reproduce: ${failed.map(({ id, problem }) => `${id} failed (${problem})`).join("; ")}`);
}

const perform = (work: (signal: AbortSignal) => Promise<void>): Promise<void> =>
  interruptible(work, () => endInterrupted("interrupted; nothing of an unfinished study is kept"));

/** Runs a study, and leaves its report and tables in its folder. */
async function measure(
  run: (context: StudyContext, description: RunDescription) => Promise<StudyReport>,
  name: string,
  command: string,
  options: Options,
  signal: AbortSignal,
): Promise<{ readonly report: StudyReport; readonly path: string }> {
  const view = studyView(terminalOf(process.stdout));
  const opened = new TextLaboratory(options, view, signal);
  const scale = scaleOf(options);
  const context: StudyContext = {
    quick: options.quick === true,
    seeds: scale.seeds,
    ...(options.steps !== undefined && { steps: options.steps }),
    signal,
    progress: view.show,
    laboratory: () => opened.laboratory(),
  };
  try {
    const report = await run(context, { command, machine: await machine() });
    const path = writeReport(report, options.output ?? join("runs", name), opened.tables());
    if (options.record) recordResults(report, fileURLToPath(new URL("../../src/catalogue/results", import.meta.url)));
    return { report, path };
  } finally {
    view.close();
    await opened.close();
  }
}

/** The laboratory of language models, opened when a study first asks for it. */
class TextLaboratory {
  #opened: Promise<{ data: TextData; laboratory: Laboratory }> | undefined;
  #laboratory: Laboratory | undefined;

  constructor(
    private readonly options: Options,
    private readonly view: StudyView,
    private readonly signal: AbortSignal,
  ) {}

  async laboratory(): Promise<Laboratory> {
    this.#opened ??= this.#open();
    return (await this.#opened).laboratory;
  }

  tables(): Readonly<Record<string, string>> {
    const { runs = [] } = this.#laboratory ?? {};
    return runs.length === 0 ? {} : { "layers.csv": historyCsv(runs), "angular.csv": angularCsv(runs) };
  }

  async close(): Promise<void> {
    if (!this.#opened) return;
    const { data, laboratory } = await this.#opened;
    await laboratory.release();
    await data.close();
  }

  async #open() {
    const { options, view, signal } = this;
    const { paths, label } = options.text
      ? { paths: options.text, label: options.text.join(", ") }
      : installedDeclarations();
    const data = await text.open(paths, { tokens: "bytes", context: 64 });
    const scale = scaleOf(options);
    const laboratory = new Laboratory({ data, label, scale, progress: view.show, signal });
    this.#laboratory = laboratory;
    view.start(`Text: ${label} (${(data.lengths.train / 1e6).toFixed(1)} MB)\n`);
    return { data, laboratory };
  }
}

function printVerdicts(report: StudyReport, path: string): void {
  const { columns } = terminal();
  const table = terminalTable(report.papers, { width: columns, color: process.stdout.isTTY === true });
  process.stdout.write(`\n${table}\n${wrap(report.summary, columns)}\n\nReport: ${relative(process.cwd(), path)}\n`);
}

const terminal = () => ({ columns: process.stdout.isTTY ? (process.stdout.columns ?? 80) : 100 });

/** At spaces, into lines no wider than `width`. */
const wrap = (sentence: string, width: number): string =>
  sentence
    .split(" ")
    .reduce<string[]>(
      (lines, word) => {
        const longer = `${lines.at(-1)} ${word}`.trimStart();
        if (longer.length < width) lines[lines.length - 1] = longer;
        else lines.push(word);
        return lines;
      },
      [""],
    )
    .join("\n");

function scaleOf({ quick, seeds, steps }: Options): Scale {
  const scale = quick ? quickScale : fullScale;
  return {
    ...scale,
    ...(seeds !== undefined && { seeds: Array.from({ length: seeds }, (_, i) => i) }),
    ...(steps !== undefined && { steps }),
  };
}

/** Real text that is there wherever this package is: TypeScript's and Node's type declarations. */
function installedDeclarations(): { paths: string[]; label: string } {
  const resolve = createRequire(import.meta.url).resolve;
  const folders = ["typescript", "@types/node", "zod", "commander", "onnxruntime-common"].flatMap((name) => {
    try {
      return [dirname(resolve(`${name}/package.json`))];
    } catch {
      return [];
    }
  });
  const paths = folders.filter(existsSync).map((folder) => `${folder}/**/*.d.ts`);
  if (paths.length === 0)
    fail("file", "study: no type declarations are installed here to read; give a text with --text PATH");
  return { paths, label: "TypeScript declarations installed with the project" };
}

function commandLine(command: string, { text: paths, quick, seeds, steps }: Options): string {
  const parts = [
    command,
    ...(paths ? ["--text", ...paths.map((p) => JSON.stringify(p))] : []),
    quick && "--quick",
    seeds && `--seeds ${seeds}`,
    steps && `--steps ${steps}`,
  ];
  return parts.filter(Boolean).join(" ");
}

async function machine(): Promise<string> {
  const { description, name } = await defaultBackend();
  return `${cpus()[0]?.model.trim() ?? "unknown processor"} (${arch()}), ${description.threads} threads, backend ${name}: ${description.engine} ${description.version}, Node ${process.versions.node}`;
}

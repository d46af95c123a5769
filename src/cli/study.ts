/** `layerwise study placement` and `layerwise reproduce <id>`: train, show it live, write the report. */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { arch, cpus } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { type TextData, text } from "../data/text-files.js";
import { recordResults, terminalTable, writeReport } from "../report/index.js";
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
} from "../studies/index.js";
import type { StudyReport } from "../studies/study-report.js";
import { fail } from "../tensor/errors.js";
import { endInterrupted, interruptible } from "./interrupt.js";
import { labView } from "./lab-view.js";
import { positiveNumber } from "./numbers.js";
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

export function registerStudies(program: Command): void {
  const study = program
    .command("study")
    .description("train models side by side and report what differs, layer by layer")
    .argument("<name>", "placement: where the norms of a transformer sit");
  shared(study).addHelpText("after", examples("study placement")).action(runStudy);
  const reproduce = program
    .command("reproduce")
    .description("measure what a paper claims")
    .argument("<id>", "a paper of the catalogue, see `layerwise papers`");
  shared(reproduce).addHelpText("after", examples("reproduce peri-ln")).action(runReproduction);
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
  await perform(name, `layerwise study ${name}`, options, placementStudy);
}

async function runReproduction(id: string, options: Options): Promise<void> {
  const study = paperStudy(id);
  await perform(id, `layerwise reproduce ${id}`, options, (laboratory, description) =>
    paperReport(study, laboratory, description),
  );
}

async function perform(
  name: string,
  command: string,
  options: Options,
  run: (laboratory: Laboratory, description: RunDescription) => Promise<StudyReport>,
): Promise<void> {
  const { paths, label } = options.text
    ? { paths: options.text, label: options.text.join(", ") }
    : installedDeclarations();
  const data = await text.open(paths, { tokens: "bytes", context: 64 });
  const scale = scaleOf(options);
  const view = labView(terminalOf(process.stdout));
  const measure = async (signal: AbortSignal): Promise<void> => {
    const laboratory = new Laboratory(data, scale, view.show, signal);
    try {
      view.start(headline(name, data, label, scale));
      const report = await run(laboratory, {
        command: commandLine(command, options),
        text: label,
        machine: await machine(),
      });
      const path = writeReport(report, options.output ?? join("runs", name), {
        "layers.csv": historyCsv(laboratory.runs),
        "angular.csv": angularCsv(laboratory.runs),
      });
      if (options.record) recordResults(report, fileURLToPath(new URL("../../src/catalogue/results", import.meta.url)));
      view.close();
      const width = process.stdout.isTTY ? (process.stdout.columns ?? 80) : 100;
      const table = terminalTable(report.papers, { width, color: process.stdout.isTTY === true });
      process.stdout.write(`\n${table}\n${wrap(report.summary, width)}\n\nReport: ${relative(process.cwd(), path)}\n`);
    } finally {
      view.close();
      await laboratory.release();
    }
  };
  try {
    await interruptible(measure, () => endInterrupted("interrupted; nothing of an unfinished study is kept"));
  } finally {
    await data.close();
  }
}

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

const headline = (name: string, data: TextData, label: string, { layers, width, steps, seeds }: Scale): string =>
  `Study "${name}" on ${label} (${(data.lengths.train / 1e6).toFixed(1)} MB)\n${layers} blocks of width ${width}, ${steps} steps, ${seeds.length} ${seeds.length === 1 ? "seed" : "seeds"} each\n`;

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

/** `layerwise runs`: what was trained, how it went, and side by side. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Command } from "commander";
import { failFile } from "../data/disk.js";
import { runsReport } from "../report/index.js";
import { fail } from "../tensor/errors.js";
import { listCheckpoints } from "../train/checkpoint.js";
import { compareRuns } from "../train/compare-runs.js";
import type { RunDatabase } from "../train/database.js";
import { differences, findRun, openRuns, type RunSummary, summarizeRuns } from "../train/run-summary.js";
import { compareText, letter, listText, type RunEvent, showText } from "./runs-text.js";

interface Options {
  readonly folder?: string;
  readonly json?: true;
  readonly report?: string;
}

const help = `
With --json (losses in nats per token, null for what there is not, times in ISO 8601):
  runs           [{ id, path, started, status, step, steps, train: { last, best, bestStep },
                    evaluation: { last, best, bestStep }, config: { "model.layers": 4, ... },
                    differences: { key: value } }]
  runs show      the same of one run, and curves: { "train/loss": [{ step, value }], "eval/loss": [...] },
                 checkpoints: [{ step, path, bytes }], events: [{ time, step, kind, message }]
  runs compare   { runs: [as above], differences: { key: [value per run] },
                   steps: [{ step, train: [...], evaluation: [...] }],
                   final: { bitsPerByte: [...], tokensPerSecond: [...] } }
status is running, finished, interrupted, failed, or crashed: noted as running while no process trains it.

Examples:
  $ layerwise runs
  $ layerwise runs show                            the latest
  $ layerwise runs show a1b2c3                     a part of an id is enough
  $ layerwise runs compare a1b2c3 d4e5f6 --report compare.html`;

export function registerRuns(program: Command): void {
  const runs = program.command("runs").description("list runs, show one, compare several");
  common(runs)
    .addHelpText("after", help)
    .action((_, command: Command) => list(optionsOf(command)));
  common(runs.command("show").description("a run's curves, configuration and checkpoints"))
    .argument("[run]", "an id or a part of one (default: the latest run)")
    .action((id: string | undefined, _, command: Command) => show(id, optionsOf(command)));
  common(runs.command("compare").description("runs side by side, at equal steps"))
    .argument("<runs...>", "ids or parts of them, two or more")
    .option("--report <file>", "also write the comparison as an HTML page with curves")
    .action((ids: string[], _, command: Command) => compare(ids, optionsOf(command)));
}

const common = (command: Command): Command =>
  command.option("--folder <folder>", "folder of the runs (default: runs)").option("--json", "as JSON");

/** Options may stand before or after show and compare. */
const optionsOf = (command: Command): Options => ({ ...command.parent?.opts(), ...command.opts() });

/** Wide enough for everything when piped into a file; a terminal gets its own width. */
const terminalWidth = (): number => (process.stdout.isTTY ? Math.max(80, process.stdout.columns ?? 80) : 160);

async function withRuns(
  { folder = "runs" }: Options,
  use: (database: RunDatabase, runs: RunSummary[]) => Promise<string>,
): Promise<void> {
  const database = await openRuns(folder);
  try {
    process.stdout.write(await use(database, await summarizeRuns(database, folder)));
  } finally {
    await database.close();
  }
}

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

const list = (options: Options): Promise<void> =>
  withRuns(options, async (_, runs) => (options.json ? json(withDifferences(runs)) : listText(runs, terminalWidth())));

function withDifferences(runs: readonly RunSummary[]): unknown[] {
  const differ = [...differences(runs)];
  return runs.map((run, i) => ({
    ...run,
    differences: Object.fromEntries(differ.map(([key, values]) => [key, values[i]])),
  }));
}

const show = (id: string | undefined, options: Options): Promise<void> =>
  withRuns(options, async (database, runs) => {
    const run = findRun(runs, id);
    const [train, evaluation] = [
      await database.metrics(run.id, "train/loss"),
      await database.metrics(run.id, "eval/loss"),
    ];
    const checkpoints = await listCheckpoints(join(run.path, "checkpoints"));
    const events = (await database.query("SELECT time, step, kind, message FROM events WHERE run = ? ORDER BY rowid", [
      run.id,
    ])) as unknown as RunEvent[];
    return options.json
      ? json({ ...run, curves: { "train/loss": train, "eval/loss": evaluation }, checkpoints, events })
      : showText({ run, train, evaluation, checkpoints, events }, terminalWidth());
  });

const compare = (ids: readonly string[], options: Options): Promise<void> =>
  withRuns(options, async (database, runs) => {
    const chosen = [...new Set(ids.map((id) => findRun(runs, id)))];
    if (chosen.length < 2) fail("argument", "runs compare: give two runs or more, each once");
    const comparison = await compareRuns(database, chosen);
    if (options.report !== undefined) {
      const page = runsReport(
        comparison,
        chosen.map((_, i) => letter(i)),
      );
      await writeFile(options.report, page).catch((error) =>
        failFile(options.report as string, "the report could not be written", error),
      );
    }
    if (!options.json) return compareText(comparison, terminalWidth());
    const { differences: differ, rows, curves } = comparison;
    return json({
      runs: withDifferences(chosen),
      differences: Object.fromEntries(differ),
      steps: rows,
      final: {
        bitsPerByte: curves.map(({ bitsPerByte }) => bitsPerByte),
        tokensPerSecond: curves.map(({ tokensPerSecond }) => tokensPerSecond),
      },
    });
  });

/** What the runs database and the run folders know about runs, as plain data. */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { fail } from "../tensor/errors.js";
import { configDefaults } from "./config-keys.js";
import { openDatabase, type RunDatabase, type RunStatus } from "./database.js";
import { isTraining } from "./run-lock.js";

export interface RunSummary {
  readonly id: string;
  /** Where it is: below the folder of all runs. */
  readonly path: string;
  /** ISO time of the first start. */
  readonly started: string;
  /** `crashed`: noted as running, and no process trains it. */
  readonly status: RunStatus | "crashed";
  /** Updates done, and wanted. */
  readonly step: number;
  readonly steps: number | null;
  /** Loss of the training batches; null before the first step. */
  readonly train: Losses | null;
  /** Loss of the evaluations; null where there was none. */
  readonly evaluation: Losses | null;
  /** The configuration by dotted key, as a file has it: "model.kv_heads". */
  readonly config: Readonly<Record<string, unknown>>;
}

/** In nats per token; null for a value that is not finite. */
export interface Losses {
  readonly last: number | null;
  readonly best: number | null;
  readonly bestStep: number | null;
}

/**
 * Opens the database of a folder of runs.
 *
 * @throws LayerwiseError "file" where there is none: looking makes nothing.
 */
export async function openRuns(folder: string): Promise<RunDatabase> {
  const path = join(folder, "runs.db");
  const found = await stat(path).catch(() => undefined);
  if (!found) fail("file", `${path}: there is no such database; name the folder of the runs with --folder`);
  return openDatabase(path);
}

/** All runs of the database in `folder`, newest first. */
export async function summarizeRuns(database: RunDatabase, folder: string): Promise<RunSummary[]> {
  const runs = await database.runs();
  const losses = await lossesByRun(database);
  return Promise.all(
    runs.map(async ({ id, started, status, config: json }) => {
      const path = join(folder, id);
      const [config, train, evaluation] = [flat(json), losses.get(`${id} train/loss`), losses.get(`${id} eval/loss`)];
      return {
        id,
        path,
        started,
        status: status === "running" && !(await isTraining(path)) ? "crashed" : status,
        step: Math.max(train?.step ?? 0, evaluation?.step ?? 0),
        steps: typeof config.max_steps === "number" ? config.max_steps : null,
        train: train?.losses ?? null,
        evaluation: evaluation?.losses ?? null,
        config,
      };
    }),
  );
}

interface LossRow {
  readonly run: string;
  readonly tag: string;
  readonly step: number;
  readonly value: number | null;
}

async function lossesByRun(database: RunDatabase): Promise<Map<string, { step: number; losses: Losses }>> {
  // SQLite takes the other columns from the row that has the largest step, or the smallest value.
  const ask = async (extreme: string): Promise<LossRow[]> =>
    (await database.query(
      `SELECT run, tag, ${extreme} FROM metrics WHERE tag IN ('train/loss', 'eval/loss') GROUP BY run, tag`,
    )) as unknown as LossRow[];
  const best = new Map((await ask("step, MIN(value) AS value")).map((row) => [`${row.run} ${row.tag}`, row]));
  return new Map(
    (await ask("MAX(step) AS step, value")).map(({ run, tag, step, value: last }) => {
      const lowest = best.get(`${run} ${tag}`);
      const found = lowest !== undefined && lowest.value !== null;
      const losses = { last, best: found ? lowest.value : null, bestStep: found ? lowest.step : null };
      return [`${run} ${tag}`, { step, losses }];
    }),
  );
}

const snake = (key: string): string => key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** The configuration that the database keeps as JSON in camelCase, by dotted key as a file has it. */
function flat(json: string): Record<string, unknown> {
  const sections = Object.entries(JSON.parse(json) as Record<string, unknown>);
  return Object.fromEntries(
    sections.flatMap(([name, value]): [string, unknown][] =>
      typeof value === "object" && value !== null && !Array.isArray(value)
        ? Object.entries(value).map(([key, inner]) => [`${snake(name)}.${snake(key)}`, inner])
        : [[snake(name), value]],
    ),
  );
}

/** Where a run is and how it was called say nothing about what it does. */
const irrelevant = new Set(["output_dir", "resume_from_checkpoint", "logging_dir"]);

const settingOf = ({ config }: RunSummary, key: string): unknown => config[key] ?? configDefaults.get(key) ?? null;

/** Keys in which the configurations differ, in the schema's order, each with its values in the order of the runs. */
export function differences(runs: readonly RunSummary[]): Map<string, unknown[]> {
  const keys = new Set([...configDefaults.keys(), ...runs.flatMap(({ config }) => Object.keys(config))]);
  const rows = [...keys]
    .filter((key) => !irrelevant.has(key))
    .map((key) => [key, runs.map((run) => settingOf(run, key))] as const);
  return new Map(
    rows
      .filter(([, values]) => new Set(values.map((value) => JSON.stringify(value))).size > 1)
      .map(([k, v]) => [k, [...v]]),
  );
}

/** What a run's configuration changes about the defaults. */
export const changed = (run: RunSummary): [string, unknown][] =>
  Object.entries(run.config).filter(
    ([key, value]) => !irrelevant.has(key) && JSON.stringify(value) !== JSON.stringify(configDefaults.get(key)),
  );

/**
 * The run that `name` means: an id, or a part of one that no other run has; without a name the latest.
 *
 * @throws LayerwiseError "argument" when there is none, or more than one.
 */
export function findRun(runs: readonly RunSummary[], name?: string): RunSummary {
  const [latest] = runs;
  if (!latest) return fail("argument", "there is no run yet; start one with `layerwise train`");
  if (name === undefined) return latest;
  const exact = runs.find(({ id }) => id === name);
  const found = exact ? [exact] : runs.filter(({ id }) => id.includes(name));
  const [only] = found;
  if (only && found.length === 1) return only;
  const some = (found.length > 0 ? found : runs).slice(0, 3).map(({ id }) => id);
  return fail(
    "argument",
    `${found.length === 0 ? "no run is" : `${found.length} runs are`} called ${JSON.stringify(name)}; give an id, such as ${some.join(", ")}`,
  );
}

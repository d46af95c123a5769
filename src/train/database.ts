import { mkdir } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { Client, InStatement } from "@libsql/client";
import { fail, LayerwiseError } from "../tensor/errors.js";
import type { TrainEvent } from "./events.js";

/** How a run stands: `running` with a dead process is what a crash leaves. */
export type RunStatus = "running" | "finished" | "interrupted" | "failed";

export interface RunRecord {
  readonly id: string;
  readonly folder: string;
  /** ISO time of the first start. */
  readonly started: string;
  readonly status: RunStatus;
  /** The configuration, as JSON. */
  readonly config: string;
}

export interface MetricPoint {
  readonly step: number;
  readonly value: number | null;
}

const tables = [
  `CREATE TABLE IF NOT EXISTS runs (
     id TEXT PRIMARY KEY, folder TEXT NOT NULL, started TEXT NOT NULL, status TEXT NOT NULL, config TEXT NOT NULL)`,
  // One value per run, tag and step: a resumed run writes over what it does again.
  `CREATE TABLE IF NOT EXISTS metrics (
     run TEXT NOT NULL, tag TEXT NOT NULL, step INTEGER NOT NULL, value REAL,
     PRIMARY KEY (run, tag, step)) WITHOUT ROWID`,
  `CREATE TABLE IF NOT EXISTS events (
     run TEXT NOT NULL, time TEXT NOT NULL, step INTEGER NOT NULL, kind TEXT NOT NULL, message TEXT NOT NULL)`,
];

/** Rows gathered before they are written in one transaction: a commit per step would cost more than a small step. */
const batchRows = 512;
const batchMilliseconds = 1000;

/**
 * The database of all runs: three tables, plain SQL. `location` is a file ("runs/runs.db") or the address of a server
 * (libsql:, https:). Tags are TensorBoard's: train/loss, eval/loss, … Values that are not finite are stored as NULL.
 *
 * @throws LayerwiseError "file" when it cannot be opened or written.
 */
export async function openDatabase(location: string): Promise<RunDatabase> {
  const isServer = /^(libsql|https?|wss?):\/\//.test(location);
  try {
    if (!isServer) await mkdir(dirname(resolve(location)), { recursive: true });
    const { createClient } = await loadClient();
    const url = isServer ? location : pathToFileURL(resolve(location)).href;
    const client = createClient({ url, ...(isServer ? {} : { timeout: 10_000 }) });
    // Write-ahead: a page that draws curves may read while a run writes.
    if (!isServer) await client.execute("PRAGMA journal_mode = WAL");
    await client.batch(tables, "write");
    return new RunDatabase(client, location);
  } catch (error) {
    return failDatabase(location, error);
  }
}

/** Loaded when it is needed: its SQLite is an optional native package, and most commands do without. */
async function loadClient(): Promise<typeof import("@libsql/client")> {
  try {
    return await import("@libsql/client");
  } catch (cause) {
    return fail(
      "file",
      "the runs database needs SQLite's native package, which npm leaves out with --omit=optional; install without it",
      { cause },
    );
  }
}

function failDatabase(location: string, error: unknown): never {
  if (error instanceof LayerwiseError) throw error;
  return fail(
    "file",
    `${location}: the runs database failed (${error instanceof Error ? error.message : String(error)})`,
    {
      cause: error,
    },
  );
}

export class RunDatabase {
  private pending: InStatement[] = [];
  private lastFlush = Date.now();
  constructor(
    private readonly client: Client,
    private readonly location: string,
  ) {}

  /** Enters a run, or marks one that goes on as running. */
  async startRun({ id, folder, config }: Pick<RunRecord, "id" | "folder" | "config">): Promise<void> {
    const sql =
      "INSERT INTO runs (id, folder, started, status, config) VALUES (?, ?, ?, 'running', ?) " +
      "ON CONFLICT (id) DO UPDATE SET status = 'running'";
    await this.query(sql, [id, folder, new Date().toISOString(), config]);
  }

  async endRun(id: string, status: RunStatus): Promise<void> {
    await this.flush();
    await this.query("UPDATE runs SET status = ? WHERE id = ?", [status, id]);
  }

  /** Queues what an event says: metrics by tag, everything but steps also as a line of the run's story. */
  async record(run: string, event: TrainEvent): Promise<void> {
    for (const [tag, value] of metricsOf(event)) this.metric(run, event.step, tag, value);
    if (event.kind !== "step") this.story(run, event);
    if (this.pending.length >= batchRows || Date.now() - this.lastFlush >= batchMilliseconds) await this.flush();
  }

  /** Queues one value; `flush` or the next full batch writes it. */
  metric(run: string, step: number, tag: string, value: number): void {
    const sql = "INSERT OR REPLACE INTO metrics (run, tag, step, value) VALUES (?, ?, ?, ?)";
    this.pending.push({ sql, args: [run, tag, step, Number.isFinite(value) ? value : null] });
  }

  private story(run: string, event: Exclude<TrainEvent, { kind: "step" }>): void {
    const sql = "INSERT INTO events (run, time, step, kind, message) VALUES (?, ?, ?, ?, ?)";
    this.pending.push({ sql, args: [run, new Date().toISOString(), event.step, event.kind, messageOf(event)] });
  }

  async flush(): Promise<void> {
    const rows = this.pending;
    this.pending = [];
    this.lastFlush = Date.now();
    if (rows.length === 0) return;
    await this.client.batch(rows, "write").catch((error: unknown) => failDatabase(this.location, error));
  }

  /** Runs, newest first: by order of entry, not by a clock that may go back. */
  async runs(): Promise<RunRecord[]> {
    const rows = await this.query("SELECT id, folder, started, status, config FROM runs ORDER BY rowid DESC");
    return rows as unknown as RunRecord[];
  }

  /** One curve of a run. */
  async metrics(run: string, tag: string): Promise<MetricPoint[]> {
    const rows = await this.query("SELECT step, value FROM metrics WHERE run = ? AND tag = ? ORDER BY step", [
      run,
      tag,
    ]);
    return rows as unknown as MetricPoint[];
  }

  /** Any question in SQL, rows as plain objects. */
  async query(sql: string, args: (string | number | null)[] = []): Promise<Record<string, unknown>[]> {
    const { rows, columns } = await this.client
      .execute({ sql, args })
      .catch((error: unknown) => failDatabase(this.location, error));
    return rows.map((row) => Object.fromEntries(columns.map((column) => [column, row[column]])));
  }

  async close(): Promise<void> {
    await this.flush();
    this.client.close();
  }
}

function metricsOf(event: TrainEvent): [string, number][] {
  if (event.kind === "step")
    return [
      ["train/loss", event.loss],
      ["train/learning_rate", event.learningRate],
      ["train/grad_norm", event.gradientNorm],
      ["train/tokens_per_second", event.tokensPerSecond],
    ];
  if (event.kind !== "evaluation") return [];
  const bits: [string, number][] = event.bitsPerByte === undefined ? [] : [["eval/bits_per_byte", event.bitsPerByte]];
  return [["eval/loss", event.loss], ...bits];
}

function messageOf(event: Exclude<TrainEvent, { kind: "step" }>): string {
  if (event.kind === "evaluation") return `loss ${event.loss}`;
  if (event.kind === "checkpoint") return event.path;
  return event.kind === "warning" ? event.message : event.reason;
}

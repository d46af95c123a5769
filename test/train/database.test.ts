import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { openDatabase, type RunDatabase } from "../../src/train/database.js";
import type { StepEvent } from "../../src/train/events.js";

let folder = "";
let database: RunDatabase;
let files = 0;
const file = (): string => join(folder, `runs ${files} #%?.db`);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "database-"));
});
afterAll(() => rm(folder, { recursive: true }));
beforeEach(async () => {
  files++;
  database = await openDatabase(file());
});

const step = (n: number, loss = 1 / n): StepEvent => ({
  kind: "step",
  step: n,
  steps: 9,
  loss,
  learningRate: 0.1,
  gradientNorm: 2,
  seconds: 1,
  tokensPerSecond: 64,
  remaining: 0,
});

describe("the runs database", () => {
  test("lists runs, newest entry first, whatever the clock said", async () => {
    for (const id of ["b", "c", "a"]) await database.startRun({ id, folder: `/runs/${id}`, config: "{}" });
    expect((await database.runs()).map((run) => run.id)).toEqual(["a", "c", "b"]);
    await database.close();
  });

  test("keeps a run's entry and start when it goes on", async () => {
    await database.startRun({ id: "a", folder: "/a", config: '{"seed":1}' });
    const [before] = await database.runs();
    await database.endRun("a", "interrupted");
    expect((await database.runs())[0]?.status).toBe("interrupted");
    await database.startRun({ id: "a", folder: "/elsewhere", config: "{}" });
    expect(await database.runs()).toEqual([before]);
    await database.close();
  });

  test("holds curves under TensorBoard's tags", async () => {
    await database.record("a", step(1));
    await database.record("a", step(2));
    await database.record("a", { kind: "evaluation", step: 2, loss: 3, bitsPerByte: 1.5, seconds: 1 });
    await database.record("b", step(1, 9));
    await database.flush();
    expect(await database.metrics("a", "train/loss")).toEqual([
      { step: 1, value: 1 },
      { step: 2, value: 0.5 },
    ]);
    expect(await database.metrics("a", "eval/loss")).toEqual([{ step: 2, value: 3 }]);
    expect(await database.metrics("a", "eval/bits_per_byte")).toEqual([{ step: 2, value: 1.5 }]);
    const tags = await database.query("SELECT DISTINCT tag FROM metrics WHERE tag LIKE 'train/%' ORDER BY tag");
    expect(tags.map(({ tag }) => tag)).toEqual([
      "train/grad_norm",
      "train/learning_rate",
      "train/loss",
      "train/tokens_per_second",
    ]);
    await database.close();
  });

  test("writes a resumed step over the one before the crash", async () => {
    await database.record("a", step(5, 1));
    await database.record("a", step(5, 2));
    await database.flush();
    expect(await database.metrics("a", "train/loss")).toEqual([{ step: 5, value: 2 }]);
    await database.close();
  });

  test("stores what is not finite as NULL", async () => {
    for (const [i, value] of [Number.NaN, Number.POSITIVE_INFINITY].entries())
      database.metric("a", i, "train/loss", value);
    await database.flush();
    expect((await database.metrics("a", "train/loss")).map(({ value }) => value)).toEqual([null, null]);
    await database.close();
  });

  test("tells the story of a run: checkpoints, warnings, its end", async () => {
    await database.record("a", { kind: "checkpoint", step: 3, path: "/a/checkpoint-3" });
    await database.record("a", { kind: "warning", step: 3, message: "'); DROP TABLE runs; --" });
    await database.record("a", { kind: "done", step: 4, reason: "finished", seconds: 1 });
    await database.flush();
    const story = await database.query("SELECT kind, message FROM events WHERE run = ? ORDER BY rowid", ["a"]);
    expect(story.map(({ kind, message }) => [kind, message])).toEqual([
      ["checkpoint", "/a/checkpoint-3"],
      ["warning", "'); DROP TABLE runs; --"],
      ["done", "finished"],
    ]);
    await database.close();
  });

  test("is closed without losing rows, and can be opened again", async () => {
    for (let n = 1; n <= 2000; n++) await database.record("a", step(n));
    await database.close();
    database = await openDatabase(file());
    expect((await database.metrics("a", "train/loss")).length).toBe(2000);
    await database.close();
  });

  test("is read by one client while another writes, and written by two", async () => {
    const other = await openDatabase(file());
    await Promise.all(
      [database, other].map(async (client, i) => {
        for (let n = 1; n <= 300; n++) {
          client.metric(`run${i}`, n, "train/loss", n);
          if (n % 50 === 0) await client.flush();
        }
      }),
    );
    expect((await database.query("SELECT COUNT(*) AS n FROM metrics"))[0]?.n).toBe(600);
    await database.close();
    await other.close();
  });

  test.each([
    ["a folder in its place", () => folder],
    ["a file that is no database", () => join(folder, "text.db")],
  ])("refuses %s", async (_, location) => {
    await writeFile(join(folder, "text.db"), "this is text, not a database, and long enough to tell ".repeat(40));
    await expect(openDatabase(location())).rejects.toMatchObject({ code: "file" });
    await database.close();
  });
});

import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { parseHTML } from "linkedom";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { registerRuns } from "../../src/cli/runs.js";
import { compareText, formatTime, listText } from "../../src/cli/runs-text.js";
import { compareRuns } from "../../src/train/compare-runs.js";
import { parseConfig } from "../../src/train/config.js";
import { openDatabase, type RunDatabase } from "../../src/train/database.js";
import type { RunSummary } from "../../src/train/run-summary.js";
import { openRuns, summarizeRuns } from "../../src/train/run-summary.js";

let folder = "";

/** Four runs: two finished, one that a crash left, one that trains now (in this very process). */
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "runs-"));
  const database = await openDatabase(join(folder, "runs.db"));
  await run(database, "2026-01-01-100000-aaaaaa", ["learning_rate=1e-3"], 20, (step) => 4 - step / 10);
  await database.endRun("2026-01-01-100000-aaaaaa", "finished");
  await run(
    database,
    "2026-01-02-100000-bbbbbb",
    ["learning_rate=3e-4", "model.kv_heads=2"],
    20,
    (step) => 5 - step / 10,
  );
  await database.endRun("2026-01-02-100000-bbbbbb", "finished");
  await run(database, "2026-01-03-100000-cccccc", [], 3, (step) => (step === 2 ? Number.NaN : step));
  await run(database, "2026-01-04-100000-dddddd", [], 0, () => 0);
  await database.close();
  await writeFile(join(folder, "2026-01-04-100000-dddddd", "lock"), `${process.pid} ${hostname()}\n`);
  const checkpoint = join(folder, "2026-01-01-100000-aaaaaa", "checkpoints", "checkpoint-20");
  await mkdir(checkpoint, { recursive: true });
  for (const [name, size] of [
    ["model.safetensors", 1000],
    ["optimizer.safetensors", 2000],
    ["state.json", 100],
  ] as const)
    await writeFile(join(checkpoint, name), "x".repeat(size));
});
afterAll(() => rm(folder, { recursive: true }));

/** Losses of `steps` steps, an evaluation after every tenth: the training loss plus one. */
async function run(
  database: RunDatabase,
  id: string,
  set: string[],
  steps: number,
  loss: (step: number) => number,
): Promise<void> {
  const { config } = parseConfig("data: { path: corpus.txt }\nmax_steps: 20", set);
  await mkdir(join(folder, id));
  await database.startRun({ id, folder: `/elsewhere/${id}`, config: JSON.stringify(config) });
  for (let step = 1; step <= steps; step++) {
    database.metric(id, step, "train/loss", loss(step));
    database.metric(id, step, "train/tokens_per_second", 100 * step);
    if (step % 10 === 0)
      await database.record(id, { kind: "evaluation", step, loss: loss(step) + 1, bitsPerByte: 2, seconds: 1 });
  }
  await database.record(id, { kind: "warning", step: steps, message: "mind \u001b[31mthe step" });
  await database.flush();
}

async function runs(...args: string[]): Promise<string> {
  const written: string[] = [];
  const write = vi.spyOn(process.stdout, "write").mockImplementation((text) => written.push(String(text)) > 0);
  try {
    const program = new Command().exitOverride();
    registerRuns(program);
    await program.parseAsync(["runs", "--folder", folder, ...args], { from: "user" });
  } finally {
    write.mockRestore();
  }
  return written.join("");
}
const json = async (...args: string[]) => JSON.parse(await runs(...args, "--json"));

const withRuns = async <T>(use: (database: RunDatabase, all: RunSummary[]) => Promise<T>): Promise<T> => {
  const database = await openRuns(folder);
  try {
    return await use(database, await summarizeRuns(database, folder));
  } finally {
    await database.close();
  }
};
const widest = (text: string): number => Math.max(...text.split("\n").map((line) => [...line].length));

describe("runs", () => {
  test("lists the newest first, with status, steps, losses and what differs", async () => {
    const [d, c, b, a] = await json();
    expect(a).toMatchObject({
      id: "2026-01-01-100000-aaaaaa",
      path: join(folder, "2026-01-01-100000-aaaaaa"),
      status: "finished",
      step: 20,
      steps: 20,
      train: { last: 2, best: 2, bestStep: 20 },
      evaluation: { last: 3, best: 3, bestStep: 20 },
      config: { "data.path": "corpus.txt", learning_rate: 1e-3 },
      differences: { learning_rate: 1e-3, "model.kv_heads": null },
    });
    expect(b.differences).toEqual({ learning_rate: 3e-4, "model.kv_heads": 2 });
    expect(c).toMatchObject({ status: "crashed", step: 3, train: { last: 3, best: 1, bestStep: 1 }, evaluation: null });
    expect(d).toMatchObject({ status: "running", step: 0, train: null });
  });

  test("in 80 columns what differs stands below each run, in wide terminals beside it", async () => {
    await withRuns(async (_, all) => {
      const narrow = listText(all, 80);
      expect(widest(narrow)).toBeLessThanOrEqual(80);
      expect(narrow).toMatch(
        /bbbbbb .* finished +20\/20 +3\.0000 +4\.0000\n {4}model\.kv_heads 2, learning_rate 0\.0003\n/,
      );
      expect(listText(all, 140)).toMatch(
        /DIFFERENCES\n(.*\n)+.*bbbbbb .* 4\.0000 {2}model\.kv_heads 2, learning_rate 0\.0003\n/,
      );
      const many = all.map((run) => ({ ...run, step: 10_000_000, steps: 10_000_000 }));
      expect(widest(listText(many, 80))).toBeLessThanOrEqual(80);
    });
  });

  test("a folder without runs is an error, and stays as it is", async () => {
    const none = join(folder, "none");
    await expect(openRuns(none)).rejects.toMatchObject({ code: "file", message: expect.stringContaining("--folder") });
    // An option after the command counts before one in front of it.
    await expect(runs("show", "--folder", none)).rejects.toThrow(none);
    await expect(readFile(none)).rejects.toThrow("ENOENT");
  });
});

describe("runs show", () => {
  test("has the curve, what the configuration changes, checkpoints and events", async () => {
    const text = await runs("show", "aaaaaa");
    expect(text).toContain("2026-01-01-100000-aaaaaa  finished\n");
    expect(text).toContain("train loss  3.9000 to 2.0000, lowest 2.0000 at step 20\n█");
    expect(text).toContain("eval loss  4.0000 to 3.0000, lowest 3.0000 at step 20\n█▁");
    expect(text).toMatch(/\n {2}data\.path +corpus\.txt\n {2}max_steps +20\n/);
    expect(text).toMatch(/\n {2}step 20 {2}3\.1 kB {2}.*checkpoint-20\n/);
    expect(text).toContain("step 20: mind ?[31mthe step");
  });

  test("as JSON has all points", async () => {
    const shown = await json("show", "cccccc");
    expect(shown.curves["train/loss"]).toEqual([
      { step: 1, value: 1 },
      { step: 2, value: null },
      { step: 3, value: 3 },
    ]);
    expect(shown.checkpoints).toEqual([]);
    expect(shown.events).toMatchObject([{ step: 3, kind: "warning" }]);
  });

  test("without a name shows the latest; a name that fits none or several is refused with ids", async () => {
    expect((await json("show")).id).toBe("2026-01-04-100000-dddddd");
    await expect(runs("show", "zzz")).rejects.toThrow(/no run is called "zzz"; give an id, such as 2026-01-04/);
    await expect(runs("show", "2026")).rejects.toThrow(/4 runs are called "2026"/);
  });
});

describe("runs compare", () => {
  test("has the keys that differ, and losses at the steps where all were evaluated", async () => {
    const compared = await json("compare", "aaaaaa", "bbbbbb");
    expect(compared.differences).toEqual({ "model.kv_heads": [null, 2], learning_rate: [1e-3, 3e-4] });
    expect(compared.steps.map(({ step }: { step: number }) => step)).toEqual([10, 20]);
    expect(compared.steps[1].train.map((x: number) => x.toFixed(6))).toEqual(["2.450000", "3.450000"]);
    expect(compared.steps[1].evaluation).toEqual([3, 4]);
    expect(compared.final).toEqual({ bitsPerByte: [2, 2], tokensPerSecond: [1100, 1100] });
  });

  test("without shared evaluations takes the steps that all have done; a mean with a broken loss is none", async () => {
    const { steps } = await json("compare", "aaaaaa", "cccccc");
    expect(steps).toMatchObject([
      { step: 1, train: [3.9, 1] },
      { step: 2, train: [3.8, null] },
      { step: 3, train: [3.7, 3] },
    ]);
    expect((await json("compare", "aaaaaa", "dddddd")).steps).toEqual([]);
  });

  test("more runs than fit are folded, never cut", async () => {
    await withRuns(async (database, all) => {
      const [a, b] = [all[3] as RunSummary, all[2] as RunSummary];
      const text = compareText(await compareRuns(database, [a, b, a, b, a, b, a, b]), 80);
      expect(widest(text)).toBeLessThanOrEqual(80);
      for (const name of ["A", "H"]) for (const side of ["train", "eval"]) expect(text).toContain(`${name} ${side}`);
      expect(text).not.toContain("…");
    });
  });

  test("writes a page with both curves that needs nothing else", async () => {
    const path = join(folder, "compare.html");
    await runs("compare", "aaaaaa", "bbbbbb", "--report", path);
    const page = await readFile(path, "utf8");
    expect(page).not.toMatch(/<script|<link|<img|@import|\bsrc=/i);
    const { document } = parseHTML(page);
    expect([...document.querySelectorAll("h3")].map((h) => h.textContent)).toEqual([
      "Training loss",
      "Evaluation loss",
    ]);
    expect(document.querySelector("#table-1-0")?.textContent).toContain("learning_rate0.0010.0003");
    expect(document.querySelector("#table-2-0 tbody tr:last-child")?.textContent).toBe("202.4503.45034");
    await expect(runs("compare", "aaaaaa", "bbbbbb", "--report", join(folder, "no/x.html"))).rejects.toMatchObject({
      code: "file",
    });
  });

  test("one run alone is refused", async () => {
    await expect(runs("compare", "aaaaaa", "2026-01-01-100000-aaaaaa")).rejects.toThrow("two runs or more");
  });
});

test("times of this year have their hour, others their date", () => {
  const local = new Date(2026, 10, 5, 7, 3);
  expect(formatTime(local.toISOString(), new Date(2026, 11, 1))).toBe("Nov 05 07:03");
  expect(formatTime("2025-11-25T13:06:00.000Z", new Date(2026, 11, 1))).toBe("2025-11-25");
});

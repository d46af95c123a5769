import { appendFile, mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { writeSafetensors } from "../../src/data/safetensors-file.js";
import { NDArray } from "../../src/tensor/ndarray.js";
import { type Checkpoint, latestCheckpoint, loadCheckpoint, saveCheckpoint } from "../../src/train/checkpoint.js";
import { bundle, ended, firstMessage, start } from "../support/child.js";
import { faults } from "../support/failing-disk.js";

vi.mock("node:fs/promises", async (original) => {
  const { failingDisk } = await import("../support/failing-disk.js");
  return failingDisk(await original<typeof import("node:fs/promises")>());
});

let folder = "";
beforeEach(async () => {
  faults.reset();
  folder = await mkdtemp(join(tmpdir(), "checkpoint-"));
});
afterEach(async () => {
  faults.reset();
  await rm(folder, { recursive: true });
});

const at = (step: number, mark = step): Checkpoint => ({
  step,
  model: new Map([["w", NDArray.from([mark, mark + 0.5], "float32")]]),
  optimizer: new Map([["w.mean", NDArray.from([mark], "float32")]]),
  state: { data: { next: step * 8 }, seeds: { order: 3 }, mark },
});
const checkpoints = async (): Promise<string[]> =>
  (await readdir(folder)).filter((name) => !name.startsWith(".")).sort();

describe("a checkpoint", () => {
  test("gives back arrays, step and state", async () => {
    const path = await saveCheckpoint(folder, at(10));
    expect(path).toBe(join(folder, "checkpoint-10"));
    expect(await loadCheckpoint(path)).toEqual(at(10));
    expect((await readdir(path)).sort()).toEqual(["model.safetensors", "optimizer.safetensors", "state.json"]);
  });

  test("leaves nothing else in the folder", async () => {
    await saveCheckpoint(folder, at(1));
    await saveCheckpoint(folder, at(1, 7));
    expect(await readdir(folder)).toEqual(["checkpoint-1"]);
    expect(await loadCheckpoint(join(folder, "checkpoint-1"))).toEqual(at(1, 7));
  });

  test("of the highest step is the latest, whatever the clock or the alphabet says", async () => {
    for (const step of [9, 100, 20]) await saveCheckpoint(folder, at(step));
    expect(await latestCheckpoint(folder)).toBe(join(folder, "checkpoint-100"));
  });

  test("beyond the last N is removed", async () => {
    for (const step of [1, 2, 3, 4]) await saveCheckpoint(folder, at(step), { keep: 2 });
    expect(await checkpoints()).toEqual(["checkpoint-3", "checkpoint-4"]);
  });

  test("the newest always stays, even with keep: 0", async () => {
    await saveCheckpoint(folder, at(1), { keep: 0 });
    expect(await checkpoints()).toEqual(["checkpoint-1"]);
  });

  test("state cannot overwrite what the format needs", async () => {
    const path = await saveCheckpoint(folder, { ...at(5), state: { step: 99, files: null, format: 7 } });
    expect((await loadCheckpoint(path)).step).toBe(5);
  });

  test.each(["nowhere", ""])("is not found in a folder without any (%j)", async (name) => {
    expect(await latestCheckpoint(join(folder, name))).toBeUndefined();
  });
});

describe("a torn checkpoint is passed over with a warning, and refused when asked for", () => {
  const damages: [string, (path: string) => Promise<unknown>, RegExp][] = [
    ["model cut short", (path) => truncate(join(path, "model.safetensors"), 20), /model\.safetensors: torn: 20 bytes/],
    ["model grown", (path) => appendFile(join(path, "model.safetensors"), "x"), /torn/],
    ["optimizer missing", (path) => rm(join(path, "optimizer.safetensors")), /optimizer\.safetensors.*ENOENT/],
    ["state missing", (path) => rm(join(path, "state.json")), /state\.json.*ENOENT/],
    ["state cut short", (path) => truncate(join(path, "state.json"), 30), /state\.json: torn/],
    ["state empty", (path) => truncate(join(path, "state.json"), 0), /state\.json: torn/],
    ["state a list", (path) => writeFile(join(path, "state.json"), "[]"), /expected a JSON object/],
    ["state of another format", (path) => writeFile(join(path, "state.json"), '{"format":2}'), /format 2; expected 1/],
    ["state without a step", (path) => writeFile(join(path, "state.json"), '{"format":1}'), /step is undefined/],
    ["state without files", (path) => writeFile(join(path, "state.json"), '{"format":1,"step":2}'), /does not list/],
    [
      "one bit flipped",
      async (path) => {
        const file = join(path, "model.safetensors");
        const bytes = await readFile(file);
        bytes[bytes.length - 1] = (bytes.at(-1) as number) ^ 1;
        await writeFile(file, bytes);
      },
      /damaged: its SHA-256/,
    ],
    [
      "another model's file in its place",
      (path) => writeSafetensors(join(path, "model.safetensors"), new Map([["other", NDArray.zeros([9])]])),
      /torn|damaged/,
    ],
  ];
  test.each(damages)("%s", async (_, damage, message) => {
    await saveCheckpoint(folder, at(1));
    const path = await saveCheckpoint(folder, at(2));
    await damage(path);
    const warnings: string[] = [];
    expect(await latestCheckpoint(folder, (text) => warnings.push(text))).toBe(join(folder, "checkpoint-1"));
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatch(message);
    await expect(loadCheckpoint(path)).rejects.toMatchObject({ code: "file", message: expect.stringMatching(message) });
  });
});

describe("whichever call to the disk fails", () => {
  const scenarios: [string, () => Promise<unknown>, Checkpoint, Checkpoint][] = [
    ["a first checkpoint", async () => undefined, at(2), at(2)],
    ["the next checkpoint", () => saveCheckpoint(folder, at(1)), at(1), at(2)],
    ["the same step again", () => saveCheckpoint(folder, at(2, 1)), at(2, 1), at(2)],
  ];
  const modes = [
    ["once", false],
    ["from then on, as when the process dies", true],
  ] as const;

  for (const [what, prepare, before, after] of scenarios)
    test.each(modes)(
      `${what}, failing %s: the old or the new is whole, and the next save works`,
      async (_, stayDown) => {
        const isFirst = before.step === after.step && before.state.mark === after.state.mark;
        let failures = 0;
        for (let n = 1; ; n++) {
          await rm(folder, { recursive: true, force: true });
          faults.reset();
          await prepare();
          faults.reset(n, stayDown);
          const outcome = await saveCheckpoint(folder, after, { keep: 1 }).then(
            () => undefined,
            (error: unknown) => error,
          );
          const struck = faults.calls >= n;
          faults.reset();
          const path = await latestCheckpoint(folder);
          const found = path === undefined ? undefined : await loadCheckpoint(path);
          if (isFirst && !found) expect(outcome).toBeDefined();
          else expect([before, after]).toContainEqual(found);
          if (!outcome) expect(found).toEqual(after);
          else expect(outcome).toMatchObject({ code: "file", message: expect.stringContaining("ENOSPC") });
          await saveCheckpoint(folder, at(3), { keep: 1 });
          expect(await readdir(folder)).toEqual(["checkpoint-3"]);
          if (!struck) break;
          failures++;
        }
        expect(failures).toBeGreaterThan(12);
      },
    );
});

test("a process killed with SIGKILL while it saves leaves a whole checkpoint", async () => {
  const script = await bundle(join(import.meta.dirname, "../support/save-forever.ts"));
  for (let round = 0; round < 8; round++) {
    const child = start(script, [folder]);
    await firstMessage(child);
    await new Promise((resolve) => setTimeout(resolve, 7 * round));
    child.kill("SIGKILL");
    await ended(child);
    const { step, model } = await loadCheckpoint((await latestCheckpoint(folder)) as string);
    expect(model.get("w")?.at(0)).toBe(step);
  }
});

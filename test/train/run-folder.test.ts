import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createRun, openRun } from "../../src/train/run-folder.js";
import { unprivileged } from "../support/unprivileged.js";

let root = "";
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "runs-"));
});
afterAll(() => rm(root, { recursive: true }));

describe("a run folder", () => {
  test("holds the configuration and a place for checkpoints, under an id that sorts by age", async () => {
    const run = await createRun(root, "seed: 1\n");
    expect(run.id).toMatch(/^\d{4}-\d\d-\d\d-\d{6}-[0-9a-f]{6}$/);
    expect((await readdir(run.path)).sort()).toEqual(["checkpoints", "config.yaml"]);
    expect(await readFile(run.config, "utf8")).toBe("seed: 1\n");
    expect(await openRun(root, run.id)).toEqual(run);
  });

  test("made many times at once is never shared", async () => {
    const runs = await Promise.all(Array.from({ length: 50 }, () => createRun(root, "")));
    expect(new Set(runs.map((run) => run.path)).size).toBe(50);
  });

  test.each(["../x", "a/b", "", ".", "..", ".hidden", "a\\b", "a\0", "x".repeat(101)])(
    "is not opened by %j",
    async (id) => {
      await expect(openRun(root, id)).rejects.toMatchObject({ code: "argument" });
    },
  );

  test("that is not there is an error", async () => {
    await expect(openRun(root, "2026-01-31-120000-a1b2c3")).rejects.toThrow("there is no such run");
  });

  test.each([["a file in its way", "file"]])("cannot be made with %s", async (_, name) => {
    await writeFile(join(root, name), "");
    await expect(createRun(join(root, name), "")).rejects.toMatchObject({ code: "file" });
  });

  test("cannot be made in a read-only folder", async () => {
    await chmod(root, 0o755);
    await mkdir(join(root, "locked"));
    await chmod(join(root, "locked"), 0o555);
    await unprivileged(() => expect(createRun(join(root, "locked"), "")).rejects.toThrow("EACCES"));
  });
});

/** A training whose disk fails: whichever call it is, the training goes on from its folder as if nothing had been. */
import { chmod, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { listCheckpoints, loadCheckpoint } from "../../src/train/checkpoint.js";
import type { TrainEvent } from "../../src/train/events.js";
import { type FitOptions, fit as train } from "../../src/train/fit.js";
import { faults } from "../support/failing-disk.js";
import { bitsOf, smallModel, smallTraining } from "../support/small-training.js";
import { unprivileged } from "../support/unprivileged.js";

vi.mock("node:fs/promises", async (original) => {
  const { failingDisk } = await import("../support/failing-disk.js");
  return failingDisk(await original<typeof import("node:fs/promises")>());
});

const steps = 3;
let folder = "";
beforeEach(async () => {
  faults.reset();
  folder = await mkdtemp(join(tmpdir(), "layerwise-disk-"));
});
afterEach(async () => {
  faults.reset();
  await rm(folder, { recursive: true });
});

/** A training in the folder, new or gone on with: its final weights, or what ended it. */
async function outcome(
  more: Partial<FitOptions> = {},
  each: (event: TrainEvent) => unknown = () => undefined,
): Promise<{ readonly bits?: string; readonly error?: unknown }> {
  const model = smallModel();
  const options = { steps, checkpoints: folder, checkpointEvery: 1, keep: 1, resume: true, accumulation: 1, ...more };
  try {
    for await (const event of train(smallTraining(model, options))) await each(event);
    return { bits: await bitsOf(model) };
  } catch (error) {
    return { error };
  }
}

async function undisturbed(): Promise<string> {
  const model = smallModel();
  for await (const _ of train(smallTraining(model, { steps, accumulation: 1 })));
  return bitsOf(model);
}

/** Everything that goes by a checkpoint's name is one. */
async function expectWhole(): Promise<void> {
  for (const { path, step } of await listCheckpoints(folder)) expect((await loadCheckpoint(path)).step).toBe(step);
}

describe("each write, flush, rename and removal in turn", () => {
  it.each([
    ["fails once", false],
    ["fails, and all after it, as on a disk that stays full", true],
  ])("%s: what is there is whole, and resumed it ends with the same bits", async (_, stayDown) => {
    const expected = await undisturbed();
    let failures = 0;
    for (let n = 1; ; n++) {
      await rm(folder, { recursive: true, force: true });
      faults.reset(n, stayDown);
      const { error, bits } = await outcome();
      const struck = faults.calls >= n;
      faults.reset();
      await expectWhole();
      if (bits !== undefined) expect(bits).toBe(expected);
      else expect(error).toMatchObject({ code: "file", message: expect.stringMatching(/^\/.*ENOSPC/) });
      if (struck) expect((await outcome()).bits, `after failure ${n}`).toBe(expected);
      else break;
      failures++;
      expect((await readdir(folder)).filter((name) => !/^checkpoint-3$/.test(name))).toEqual([]);
    }
    expect(failures).toBeGreaterThan(60);
  });
});

describe("a disk that is full", () => {
  it("from the start refuses the training before its first step", async () => {
    faults.reset(1, true);
    const { error } = await outcome();
    expect(error).toMatchObject({ code: "file", message: expect.stringMatching(/ENOSPC: no space left on device/) });
  });

  it("in the middle stops it with the file's name; with space again it goes on from the checkpoint before", async () => {
    const expected = await undisturbed();
    const { error } = await outcome({}, ({ kind, step }) => kind === "step" && step === 2 && faults.reset(1, true));
    faults.reset();
    expect(error).toMatchObject({
      code: "file",
      message: `${folder}/checkpoint-2: the checkpoint could not be written; earlier ones are untouched (ENOSPC: no space left on device)`,
    });
    expect((await listCheckpoints(folder)).map(({ step }) => step)).toEqual([1]);
    expect((await outcome()).bits).toBe(expected);
  });
});

describe("a folder that cannot be written", () => {
  it("refuses a training before its first step", async () => {
    await outcome({ steps: 1 });
    await chmod(folder, 0o555);
    const { error } = await unprivileged(() => outcome());
    await chmod(folder, 0o755);
    expect(error).toMatchObject({
      code: "file",
      message: expect.stringMatching(/lock: the run could not be locked \(EACCES: permission denied/),
    });
    expect((await outcome()).bits).toBe(await undisturbed());
  });

  it("that becomes read-only in the middle stops it, and keeps what was saved", async () => {
    const expected = await undisturbed();
    const parent = folder;
    folder = join(parent, "checkpoints");
    await chmod(parent, 0o777);
    const { error } = await unprivileged(async () =>
      outcome({}, ({ kind }) => kind === "checkpoint" && chmod(folder, 0o555)),
    );
    await chmod(folder, 0o755);
    expect(error).toMatchObject({ code: "file", message: expect.stringMatching(/checkpoint-2: .*EACCES/) });
    expect((await listCheckpoints(folder)).map(({ step }) => step)).toEqual([1]);
    await expectWhole();
    expect((await outcome()).bits).toBe(expected);
    folder = parent;
  });
});

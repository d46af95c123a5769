/** Engines that are wrong from the start, or fail in the middle: what is refused, and what can be gone on with. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Backend } from "../../src/runtime/backend.js";
import { compile, getBackend } from "../../src/runtime/index.js";
import { Variable } from "../../src/tensor/index.js";
import { listCheckpoints } from "../../src/train/checkpoint.js";
import { fit as train } from "../../src/train/fit.js";
import { corrupted, withRuns } from "../support/corrupted-backend.js";
import { bitsOf, smallModel, smallTraining } from "../support/small-training.js";

/** What the host's backends become. */
const host = vi.hoisted(() => ({ change: (backend: Backend): Backend => backend }));
vi.mock("#host", async (original) => {
  const real = await original<typeof import("#host")>();
  return {
    ...real,
    openBackend: async (...args: Parameters<typeof real.openBackend>) => host.change(await real.openBackend(...args)),
  };
});

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "layerwise-faulty-"));
});
afterEach(async () => {
  host.change = (backend) => backend;
  await rm(folder, { recursive: true });
});

describe("an engine that computes wrongly", () => {
  // Threads of its own for each, so that each is opened anew.
  it.each([
    ["a gradient", "gradient of embedding", "gradient of embedding", 3],
    ["a state", "next weight", "weight after 1 updates", 4],
  ])(
    "(%s) is refused at its start, by every program, and tried anew when asked for again",
    async (_, output, named, threads) => {
      host.change = (backend) => corrupted(backend, output, (values) => values.fill(7));
      const w = new Variable([1, 2]);
      const program = compile(
        () => {
          w.assign(w.mul(2));
          return { y: w.sum() };
        },
        { threads },
      );
      for (let i = 0; i < 2; i++)
        await expect(program({})).rejects.toMatchObject({
          code: "backend",
          message: expect.stringContaining(`computes "${named}" wrongly: element 0 is 7, expected`),
        });
      expect((await w.data()).toNumbers()).toEqual([1, 2]);
      host.change = (backend) => backend;
      expect((await program({})).y.item()).toBe(3);
      await program.release();
    },
  );
});

/** A device that is there until the test takes it away: every run after that fails, as engines' do. */
function losable(): { readonly change: (backend: Backend) => Backend; readonly lose: () => void } {
  let isLost = false;
  let settle: () => void;
  const lost = new Promise<void>((resolve) => {
    settle = resolve;
  });
  const change = (backend: Backend): Backend => ({
    ...withRuns(backend, (run) => async (...args) => {
      if (isLost) throw new Error("the device was lost");
      return run(...args);
    }),
    lost,
  });
  return {
    change,
    lose: () => {
      isLost = true;
      settle();
    },
  };
}

describe("a device lost in the middle of a training", () => {
  it("stops it with the engine's words; from its checkpoint it ends, on a new device, with the same bits", async () => {
    const [alone, first, second] = [smallModel(), smallModel(), smallModel()];
    const device = losable();
    host.change = device.change;
    const more = { steps: 6, threads: 2, checkpoints: folder, checkpointEvery: 2, resume: true };
    const stopped = (async () => {
      for await (const event of train(smallTraining(first, more)))
        if (event.kind === "step" && event.step === 5) device.lose();
    })();
    await expect(stopped).rejects.toThrow("the device was lost");
    expect((await listCheckpoints(folder)).map(({ step }) => step)).toEqual([4, 2]);
    host.change = (backend) => backend;
    const events = [];
    for await (const event of train(smallTraining(second, more))) events.push(event);
    expect(events.filter(({ kind }) => kind === "step").map(({ step }) => step)).toEqual([5, 6]);
    for await (const _ of train(smallTraining(alone, { steps: 6, threads: 2 })));
    expect(await bitsOf(second)).toBe(await bitsOf(alone));
  });

  it("is forgotten: who asks for the backend again gets another", async () => {
    const device = losable();
    host.change = device.change;
    const before = await getBackend("cpu", { threads: 5 });
    expect(await getBackend("cpu", { threads: 5 })).toBe(before);
    device.lose();
    await before.lost;
    host.change = (backend) => backend;
    expect(await getBackend("cpu", { threads: 5 })).not.toBe(before);
  });
});

/** Training with products in float16: the scale of the loss, and what a run keeps of it. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { text } from "../../src/data/text.js";
import { gpt } from "../../src/models/index.js";
import { adamW } from "../../src/optim/index.js";
import { crossEntropy, type Tensor } from "../../src/tensor/index.js";
import { type FitOptions, fit as train } from "../../src/train/fit.js";
import { LossScale } from "../../src/train/loss-scale.js";

const data = await text.from("a stitch in time saves nine; ".repeat(80), { tokens: "bytes", context: 16 });
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "layerwise-half-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function options(more: Partial<FitOptions> = {}, factor = 1): FitOptions {
  const model = gpt({ layers: 2, width: 32, heads: 2, vocabulary: 256, context: 16, seed: 3 });
  return {
    model,
    loss: ({ tokens, targets }) => crossEntropy(model.apply(tokens as Tensor), targets as Tensor).mul(factor),
    data: (start) => data.batches({ size: 4, steps: 1000, seed: 5, start }),
    optimizer: (parameters, learningRate) => adamW(parameters, { learningRate }),
    learningRate: 5e-3,
    steps: 12,
    clip: 1,
    precision: "float16",
    ...more,
  };
}

async function run(given: FitOptions): Promise<{ losses: number[]; warnings: string[] }> {
  const [losses, warnings]: [number[], string[]] = [[], []];
  for await (const event of train(given)) {
    if (event.kind === "step") losses.push(event.loss);
    if (event.kind === "warning") warnings.push(event.message);
  }
  return { losses, warnings };
}

const stateOf = async (step: number) =>
  JSON.parse(await readFile(join(folder, `checkpoint-${step}`, "state.json"), "utf8")) as Record<string, unknown>;

describe("a scale of the loss", () => {
  it("is doubled after 2000 updates, up to 2²⁴", () => {
    const scale = new LossScale();
    for (let i = 0; i < 1999; i++) scale.succeeded();
    expect(scale.value).toBe(2 ** 16);
    scale.succeeded();
    expect(scale.value).toBe(2 ** 17);
    for (let i = 0; i < 40_000; i++) scale.succeeded();
    expect(scale.value).toBe(2 ** 24);
  });

  it("is halved by an overflow, down to 1, where it is not to blame", () => {
    const scale = new LossScale();
    for (let i = 15; i >= 0; i--) {
      expect(scale.overflowed()).toBe(true);
      expect(scale.value).toBe(2 ** i);
    }
    expect(scale.overflowed()).toBe(false);
  });

  it("counts anew after an overflow", () => {
    const scale = new LossScale();
    for (let i = 0; i < 1999; i++) scale.succeeded();
    scale.overflowed();
    scale.succeeded();
    expect(scale.saved).toEqual({ scale: 2 ** 15, since: 1 });
  });
});

describe("fit with float16", () => {
  it("learns as with float32", async () => {
    const [half, single] = [await run(options()), await run(options({ precision: "float32" }))];
    expect(half.warnings).toEqual([]);
    for (const [i, loss] of half.losses.entries())
      expect(Math.abs(loss - (single.losses[i] as number))).toBeLessThan(0.02);
    expect(half.losses).not.toEqual(single.losses);
  });

  it("keeps gradients that would vanish: of a loss of a millionth, which scaling alone brings into reach", async () => {
    const small = await run(options({ clip: undefined as never, learningRate: 5e-3 }, 1e-6));
    const plain = await run(options({ precision: "float32" }, 1e-6));
    expect(small.losses.at(-1)).toBeLessThan(0.8 * (small.losses[0] as number));
    expect(Math.abs((small.losses.at(-1) as number) / (plain.losses.at(-1) as number) - 1)).toBeLessThan(0.1);
  });

  it("passes over batches whose gradients overflow, and finds a scale", async () => {
    const { losses, warnings } = await run(options({ steps: 30, checkpoints: folder }, 300));
    expect(warnings.length).toBeGreaterThan(0);
    expect(warnings[0]).toBe(
      "gradients of step 1 overflowed in float16: the loss is multiplied by 32768 from now on; the batch is passed over",
    );
    expect(losses.at(-1)).toBeLessThan(0.9 * (losses[0] as number));
    const { lossScale } = await stateOf(30);
    expect(lossScale).toMatchObject({ scale: 2 ** (16 - warnings.length) });
  });

  it("goes on bit for bit, with the scale it had", async () => {
    const whole = await run(options({ steps: 30 }, 300));
    const first = await run(options({ steps: 30, checkpoints: folder, checkpointEvery: 14, signal: after(14) }, 300));
    const rest = await run(options({ steps: 30, checkpoints: folder, resume: true }, 300));
    expect(rest.warnings.filter((w) => w.startsWith("resumed"))).toEqual([]);
    expect([...first.losses, ...rest.losses]).toEqual(whole.losses);
  });

  it("says where precision changed", async () => {
    await run(options({ steps: 2, checkpoints: folder }));
    const { warnings } = await run(options({ steps: 3, checkpoints: folder, resume: true, precision: "float32" }));
    expect(warnings).toEqual([
      "resumed with precision float32 instead of float16: the run goes on, but not bit for bit",
    ]);
  });

  it("still stops where the loss itself is not finite", async () => {
    await expect(run(options({}, Number.POSITIVE_INFINITY))).rejects.toThrow("the loss of step 1 is not finite");
  });
});

/** Asks for an end during step n. */
function after(n: number): AbortSignal {
  const controller = new AbortController();
  let asked = 0;
  Object.defineProperty(controller.signal, "aborted", { get: () => asked++ >= n });
  return controller.signal;
}

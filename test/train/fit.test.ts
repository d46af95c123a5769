/** Training: what is promised of runs, resumes, accumulation, evaluation and losses that are not finite. */
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readSafetensors } from "../../src/data/safetensors-file.js";
import { text } from "../../src/data/text.js";
import { type GPT, gpt } from "../../src/models/index.js";
import { adamW, ema, sgd } from "../../src/optim/index.js";
import { crossEntropy, NDArray, type Tensor } from "../../src/tensor/index.js";
import type { TrainEvent } from "../../src/train/events.js";
import { type FitOptions, fit as train } from "../../src/train/fit.js";
import { schedule } from "../../src/train/schedule.js";

const corpus = "the quick brown fox jumps over the lazy dog; pack my box with five dozen liquor jugs. ".repeat(60);
const data = await text.from(corpus, { tokens: "bytes", context: 16 });
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "layerwise-fit-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const build = (dropout = 0.1): GPT =>
  gpt({ layers: 2, width: 16, heads: 2, vocabulary: 256, context: 16, dropout, placement: "peri", seed: 3 });

const options = (model: GPT, more: Partial<FitOptions> = {}): FitOptions => ({
  model,
  loss: ({ tokens, targets }) => crossEntropy(model.apply(tokens as Tensor), targets as Tensor),
  data: (start) => data.batches({ size: 4, steps: 1000, seed: 5, start }),
  optimizer: (parameters, learningRate) => adamW(parameters, { learningRate }),
  learningRate: 1e-2,
  schedule: schedule.cosine({ steps: 12, warmup: 2 }),
  steps: 12,
  clip: 1,
  ...more,
});

async function run(options: FitOptions, each: (event: TrainEvent) => void = () => {}): Promise<TrainEvent[]> {
  const events: TrainEvent[] = [];
  for await (const event of train(options)) {
    events.push(event);
    each(event);
  }
  return events;
}

const losses = (events: readonly TrainEvent[]): number[] =>
  events.flatMap((event) => (event.kind === "step" ? [event.loss] : []));
const weights = async (model: GPT): Promise<string> =>
  JSON.stringify(
    [...(await model.stateDict())].map(([name, array]) => [name, Buffer.from(array.data.buffer).toString("base64")]),
  );

describe("fit", () => {
  it("learns, and tells each step, evaluation, checkpoint and the end", async () => {
    const model = build(0);
    const events = await run(
      options(model, {
        steps: 40,
        schedule: schedule.constant(),
        validation: () => data.batches({ size: 4, steps: 2, split: "validation" }),
        evaluateEvery: 20,
        bytesPerToken: 1,
        checkpoints: folder,
        checkpointEvery: 20,
      }),
    );
    expect(losses(events)).toHaveLength(40);
    expect(losses(events).at(-1)).toBeLessThan((losses(events)[0] as number) - 1);
    expect(events.filter(({ kind }) => kind === "evaluation").map(({ step }) => step)).toEqual([20, 40]);
    expect(events.filter(({ kind }) => kind === "checkpoint").map(({ step }) => step)).toEqual([20, 40]);
    const [evaluation] = events.filter((event) => event.kind === "evaluation");
    expect(evaluation?.bitsPerByte).toBeCloseTo((evaluation?.loss as number) / Math.LN2, 6);
    expect(events.at(-1)).toMatchObject({ kind: "done", reason: "finished", step: 40 });
  });

  it("gives the same bits twice", async () => {
    const [a, b] = [build(), build()];
    expect(losses(await run(options(a)))).toEqual(losses(await run(options(b))));
    expect(await weights(a)).toBe(await weights(b));
  });

  it("evaluates the averaged weights where the optimiser keeps them, and trains on with its own", async () => {
    const validation = () => data.batches({ size: 4, steps: 2, split: "validation" });
    const more = { steps: 4, validation, evaluateEvery: 2 };
    const average = (decay: number): Partial<FitOptions> => ({
      ...more,
      optimizer: (parameters, learningRate) => ema(adamW(parameters, { learningRate }), { decay }),
    });
    const evaluated = (events: readonly TrainEvent[]): number[] =>
      events.flatMap((event) => (event.kind === "evaluation" ? [event.loss] : []));
    const plain = await run(options(build(), more));
    const latest = await run(options(build(), average(0)));
    const slow = await run(options(build(), average(0.9)));
    expect([losses(latest), losses(slow)]).toEqual([losses(plain), losses(plain)]);
    expect(evaluated(latest)).toEqual(evaluated(plain));
    expect(evaluated(slow)[1]).toBeGreaterThan((evaluated(plain)[1] as number) + 1e-3);
  });

  it.each([1, 2])(
    "resumed equals uninterrupted bit for bit, dropout and all (accumulation %i)",
    async (accumulation) => {
      const whole = build();
      const expected = losses(await run(options(whole, { accumulation })));
      const abort = new AbortController();
      const first = await run(
        options(build(), { accumulation, checkpoints: folder, signal: abort.signal }),
        (event) => event.kind === "step" && event.step === 5 && abort.abort(),
      );
      expect(first.at(-1)).toMatchObject({ kind: "done", reason: "interrupted", step: 5 });
      const again = build(); // other weights would be loaded over
      const second = await run(options(again, { accumulation, checkpoints: folder, resume: true }));
      expect([...losses(first), ...losses(second)]).toEqual(expected);
      expect(await weights(again)).toBe(await weights(whole));
    },
  );

  it("averages gradients over micro-batches: two of 4 are one of 8", async () => {
    const [small, large] = [build(0), build(0)];
    const pairs = async function* () {
      for await (const batch of data.batches({ size: 8, steps: 100, seed: 5 }))
        for (const half of [0, 1])
          yield Object.fromEntries(
            Object.entries(batch).map(([name, array]) => [
              name,
              new NDArray(array.data.slice(half * 64, half * 64 + 64), [4, 16], "int32"),
            ]),
          );
    };
    const plain: Partial<FitOptions> = {
      steps: 4,
      optimizer: (parameters, learningRate) => sgd(parameters, { learningRate }),
    };
    const a = await run(options(small, { ...plain, accumulation: 2, data: pairs }));
    const b = await run(options(large, { ...plain, data: () => data.batches({ size: 8, steps: 100, seed: 5 }) }));
    for (const [i, loss] of losses(b).entries()) expect(losses(a)[i]).toBeCloseTo(loss, 5);
  });

  it("says what changed when a run is resumed with other threads", async () => {
    await run(options(build(), { steps: 2, checkpoints: folder, threads: 1 }));
    const events = await run(options(build(), { steps: 3, checkpoints: folder, resume: true, threads: 2 }));
    expect(events[0]).toMatchObject({
      kind: "warning",
      message: expect.stringMatching(/threads 2 instead of 1.*not bit for bit/),
    });
  });

  it("refuses a checkpoint of another model, naming what differs", async () => {
    await run(options(build(), { steps: 1, checkpoints: folder }));
    const other = gpt({ layers: 3, width: 16, heads: 2, vocabulary: 256, context: 16 });
    await expect(run(options(other, { checkpoints: folder, resume: true }))).rejects.toThrow(
      /model\.safetensors is of another model: it lacks model\.layers/,
    );
  });

  it("ends with a sentence when the data does", async () => {
    await expect(run(options(build(), { data: () => data.batches({ size: 4, steps: 2 }) }))).rejects.toThrow(
      /the data ended after 2 batches/,
    );
  });
});

describe("a loss that is not finite", () => {
  const poisoned = (model: GPT, value: number) => {
    const up = model.namedVariables().get("model.layers.1.mlp.up_proj.weight");
    up?.set(new NDArray(new Float32Array(up.size).fill(value), up.shape, "float32"));
    return model;
  };

  it("stops, naming the first module where it arose, and leaves the weights alone", async () => {
    const model = poisoned(build(0), 3e38);
    const before = await weights(model);
    await expect(run(options(model))).rejects.toThrow(
      /step 1 is not finite .*arose at the output of "model\.layers\.1\.mlp\.up_proj"/,
    );
    expect(await weights(model)).toBe(before);
  });

  it("names a parameter that is itself not finite", async () => {
    await expect(run(options(poisoned(build(0), Number.NaN)))).rejects.toThrow(
      /parameter "model\.layers\.1\.mlp\.up_proj\.weight" itself/,
    );
  });

  it.each([
    ["the only batch", 1, 1],
    ["the first of two", 2, 2],
    ["the second of two", 2, 3],
  ])(
    "in %s of a step is passed over when asked, and the next is as if it had not been",
    async (_, accumulation, bad) => {
      const model = build(0);
      let count = 0;
      const loss = ({ tokens, targets, factor }: Readonly<Record<string, Tensor>>) =>
        crossEntropy(model.apply(tokens as Tensor), targets as Tensor).mul(factor as Tensor);
      const batches = async function* () {
        for await (const batch of data.batches({ size: 4, steps: 100, seed: 5 }))
          yield { ...batch, factor: NDArray.from(count++ === bad ? Number.NaN : 1) };
      };
      const events = await run(options(model, { loss, data: batches, steps: 4, accumulation, onNonFinite: "skip" }));
      const warnings = events.flatMap((event) => (event.kind === "warning" ? [event.message] : []));
      expect(warnings).toHaveLength(1);
      expect(warnings[0]).toContain("the loss itself");
      expect(losses(events).map(Number.isFinite)).toEqual([true, false, true, true]);
      expect(Math.max(...losses(events).filter(Number.isFinite))).toBeLessThan(7);
      for (const array of (await model.stateDict()).values())
        expect(array.toNumbers().every(Number.isFinite)).toBe(true);
    },
  );
});

it("Ctrl-C on the command line saves, and --resume goes on", async () => {
  await writeFile(join(folder, "corpus.txt"), corpus.repeat(4));
  const config = [
    "data: {path: corpus.txt, context: 16}",
    "model: {layers: 1, width: 16, heads: 2}",
    "max_steps: 100000",
    "output_dir: runs",
    "eval_steps: 0",
    "save_steps: 0",
    "logging_steps: 10",
  ];
  await writeFile(join(folder, "config.yaml"), config.join("\n"));
  const cli = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
  const child = spawn(process.execPath, [cli, "train", "config.yaml"], { cwd: folder });
  let output = "";
  let sent = false;
  child.stdout.on("data", (chunk: Buffer) => {
    output += String(chunk);
    if (!sent && /step 20\//.test(output)) sent = child.kill("SIGINT");
  });
  child.stderr.on("data", (chunk: Buffer) => {
    output += String(chunk);
  });
  const code = await new Promise((resolve) => child.on("exit", resolve));
  expect(code, output).toBe(0);
  expect(output).toMatch(/interrupted: step \d+/);
  const [, step, id] = /interrupted: step (\d+)[\s\S]*--resume (\S+)/.exec(output) as unknown as [
    string,
    string,
    string,
  ];
  const state = JSON.parse(
    await readFile(join(folder, "runs", id, "checkpoints", `checkpoint-${step}`, "state.json"), "utf8"),
  ) as { step: number; batch: number };
  expect(state).toMatchObject({ step: Number(step), batch: Number(step) });
  const resumed = spawn(
    process.execPath,
    [cli, "train", "config.yaml", "--resume", "--set", `max_steps=${Number(step) + 5}`],
    { cwd: folder },
  );
  let rest = "";
  resumed.stdout.on("data", (chunk: Buffer) => {
    rest += String(chunk);
  });
  expect(await new Promise((resolve) => resumed.on("exit", resolve))).toBe(0);
  expect(rest).toContain(`finished: step ${Number(step) + 5}`);
});

it("a configuration with Muon and an average of the weights leaves the average beside the checkpoints", async () => {
  await writeFile(join(folder, "corpus.txt"), corpus);
  const config = [
    "data: {path: corpus.txt, context: 16}",
    "model: {layers: 1, width: 16, heads: 2}",
    "max_steps: 3",
    "output_dir: runs",
    "optimizer: muon",
    "ema_decay: 0.5",
  ];
  await writeFile(join(folder, "config.yaml"), config.join("\n"));
  const cli = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
  const child = spawn(process.execPath, [cli, "train", "config.yaml"], { cwd: folder });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk: Buffer) => {
      output += String(chunk);
    });
  expect(await new Promise((resolve) => child.on("exit", resolve)), output).toBe(0);
  const [, id] = /^run (\S+)/.exec(output) as unknown as [string, string];
  const { tensors: averaged } = await readSafetensors(join(folder, "runs", id, "model-ema.safetensors"));
  const { tensors: last } = await readSafetensors(
    join(folder, "runs", id, "checkpoints/checkpoint-3/model.safetensors"),
  );
  expect([...averaged.keys()].sort()).toEqual([...last.keys()].sort());
  for (const [name, array] of averaged) expect(array.toNumbers()).not.toEqual(last.get(name)?.toNumbers());
});

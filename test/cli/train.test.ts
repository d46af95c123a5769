import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { registerTrain } from "../../src/cli/train.js";
import { readEvents } from "../support/event-file.js";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "train-"));
  await writeFile(join(folder, "corpus.txt"), "the quick brown fox jumps over the lazy dog. ".repeat(60));
});
afterAll(() => rm(folder, { recursive: true }));

async function train(keys: string, ...args: string[]): Promise<string> {
  const path = join(folder, "config.yaml");
  const output = JSON.stringify(join(folder, "runs"));
  await writeFile(
    path,
    `data: { path: ${JSON.stringify(join(folder, "corpus.txt"))}, context: 16 }
model: { layers: 1, width: 16, heads: 2 }
output_dir: ${output}
micro_batch_size: 2
eval_batches: 1
backend: cpu
threads: 1
${keys}`,
  );
  const written: string[] = [];
  const write = vi.spyOn(process.stdout, "write").mockImplementation((text) => written.push(String(text)) > 0);
  try {
    const program = new Command().exitOverride();
    registerTrain(program);
    await program.parseAsync(["train", path, ...args], { from: "user" });
  } finally {
    write.mockRestore();
  }
  return written.join("");
}

const idOf = (output: string): string => /(?:run|going on with) (\S+) in /.exec(output)?.[1] as string;

async function eventsOf(where: string) {
  const names = (await readdir(where)).sort();
  return Promise.all(names.map(async (name) => readEvents(await readFile(join(where, name)))));
}

describe("train", () => {
  test("writes TensorBoard's files every logging_steps, and another one when it goes on", async () => {
    const keys = "tensorboard: true\nlogging_steps: 2\neval_steps: 2\n";
    const id = idOf(await train(`${keys}max_steps: 4`));
    const resumed = await train(`${keys}max_steps: 6`, "--resume", id);
    expect(idOf(resumed)).toBe(id);
    const [first = [], second = []] = await eventsOf(join(folder, "runs", id, "tensorboard"));
    expect(first.map(({ step, scalars }) => [step, Object.keys(scalars ?? {})[0]])).toEqual([
      [0, undefined],
      [2, undefined],
      [2, "train/loss"],
      [2, "eval/loss"],
      [4, "train/loss"],
      [4, "eval/loss"],
    ]);
    expect(second.map(({ step, session }) => [step, session])).toEqual([
      [0, undefined],
      [6, 1],
      [6, undefined],
      [6, undefined],
    ]);
  });

  test("logging_dir takes the files of all runs, a folder each", async () => {
    const id = idOf(await train(`logging_dir: ${JSON.stringify(join(folder, "logs"))}\nmax_steps: 1`));
    expect(await readdir(join(folder, "logs"))).toEqual([id]);
    expect(await readdir(join(folder, "runs", id))).not.toContain("tensorboard");
  });

  test("counts epochs in updates", async () => {
    const output = await train("num_epochs: 0.1\ngradient_accumulation_steps: 2\n");
    const [, tokens = "0"] = /; ([\d,]+) tokens to train on/.exec(output) ?? [];
    const windows = Math.floor((Number(tokens.replace(",", "")) - 1) / 16);
    expect(output).toContain(`finished: step ${Math.ceil((0.1 * windows) / 4)} `);
  });

  test("computing blocks again in the backward pass gives the same losses", async () => {
    const losses = async (keys: string) =>
      [...(await train(`max_steps: 3\n${keys}`)).matchAll(/^step .*? loss (\S+)/gm)].map(([, loss]) => loss);
    const plain = await losses("");
    expect(plain).toHaveLength(3);
    expect(await losses("gradient_checkpointing: true")).toEqual(plain);
  });

  test("says what of an axolotl file has no effect", async () => {
    const output = await train("max_steps: 1\nwandb_project: mine\noptimizer: adamw_torch\nflash_attention: true\n");
    expect(output).toContain("\nnote: wandb_project: metrics stay on this machine");
    expect(output).toContain("\nnote: flash_attention: ");
  });

  test("refuses to start from a checkpoint, which it cannot yet, and leaves no run behind", async () => {
    const before = await readdir(join(folder, "runs"));
    await expect(train("base_model: ./llama\nadapter: lora")).rejects.toMatchObject({
      code: "config",
      message: expect.stringContaining('base_model is "./llama"'),
    });
    expect(await readdir(join(folder, "runs"))).toEqual(before);
  });
});

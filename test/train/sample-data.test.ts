import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { SampleBatch } from "../../src/data/sample-batches.js";
import { crossEntropy, nn, optim, type Tensor, fit as train } from "../../src/index.js";
import { parseConfig } from "../../src/train/config.js";
import { openSampleData } from "../../src/train/sample-data.js";
import { chatTemplate, wordTokenizer } from "../support/word-tokenizer.js";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "samples-"));
  const turns = ["one", "two", "three", "four", "five", "six", "seven", "eight"];
  const chats = turns.map((word, i) => ({
    conversations: [
      { from: "human", value: `count ${word}` },
      { from: "gpt", value: turns.slice(0, i + 1).join(" ") },
    ],
  }));
  await writeFile(join(folder, "chats.jsonl"), chats.map((chat) => JSON.stringify(chat)).join("\n"));
  await writeFile(
    join(folder, "tasks.csv"),
    `instruction,input,output\n${turns.map((w) => `Say ${w}.,,${w}`).join("\n")}\n`,
  );
  await writeFile(join(folder, "texts.jsonl"), `{"body":"${turns.join(" ")}"}\n`);
});
afterAll(() => rm(folder, { recursive: true }));

const config = (more = "") =>
  parseConfig(`
datasets:
  - { path: ${folder}/chats.jsonl, type: chat_template }
  - { path: ${folder}/tasks.csv, type: alpaca }
  - { path: ${folder}/texts.jsonl, type: completion, field: body }
sequence_len: 64
micro_batch_size: 2
max_steps: 6
${more}`).config;

const options = { tokenizer: wordTokenizer(), template: chatTemplate };

async function collect(batches: AsyncIterable<SampleBatch> | undefined): Promise<SampleBatch[]> {
  const all: SampleBatch[] = [];
  for await (const batch of batches ?? []) all.push(batch);
  return all;
}

describe("data from a configuration", () => {
  test("of several datasets, split into two sides", async () => {
    const { counts, validation, context, notice } = await openSampleData(config("val_set_size: 4"), options);
    expect([counts.train.samples, counts.validation.samples, context, notice]).toEqual([13, 4, 64, undefined]);
    const held = await collect(validation?.());
    expect(held).toHaveLength(2);
    expect(await collect(validation?.())).toEqual(held);
    const share = await openSampleData(config("val_set_size: 0.25"), options);
    expect(share.counts.validation.samples).toBe(4);
    expect((await openSampleData(config(), options)).validation).toBeUndefined();
  });

  test("goes on from any batch", async () => {
    for (const packing of ["", "sample_packing: true"]) {
      const { data } = await openSampleData(config(packing), options);
      const whole = await collect(data(0));
      expect(whole).toHaveLength(6);
      expect(await collect(data(4))).toEqual(whole.slice(4));
    }
  });

  test("is as long as the sequence where asked", async () => {
    const { data } = await openSampleData(config("pad_to_sequence_len: true"), options);
    expect(new Set((await collect(data(0))).map(({ tokens }) => tokens.shape[1]))).toEqual(new Set([64]));
  });

  test("tells what was cut and left out", async () => {
    const { notice } = await openSampleData({ ...config(), sequenceLen: 12 }, options);
    expect(notice).toMatch(/^\d+ samples: \d+ samples cut to sequence_len 12 \(\d+ tokens lost\); 8 records left out/);
  });

  test.each([
    ["val_set_size: 17", "of 17 samples it holds 17 out"],
    ["val_set_size: 0.01", "of 17 samples it holds 0 out"],
  ])("refuses %s", async (more, message) => {
    await expect(openSampleData(config(more), options)).rejects.toThrow(message);
  });
});

describe.each([
  ["padded", ""],
  ["packed", "sample_packing: true"],
])("training on %s batches", (_, more) => {
  test("learns the answers", async () => {
    const { data, validation } = await openSampleData(config(`${more}\nval_set_size: 3`), options);
    const model = nn.gpt({
      layers: 1,
      width: 32,
      heads: 2,
      vocabulary: 120,
      context: 64,
      positions: "learned",
      seed: 1,
    });
    const losses: number[] = [];
    const events = train({
      model,
      loss: ({ tokens, targets, padding, segments, positions }) =>
        crossEntropy(
          model.apply(tokens as Tensor, {
            ...(padding && { padding }),
            ...(segments && { segments }),
            ...(positions && { positions }),
          }),
          targets as Tensor,
        ),
      data,
      ...(validation && { validation }),
      optimizer: (parameters, learningRate) => optim.adamW(parameters, { learningRate }),
      learningRate: 1e-2,
      steps: 6,
    });
    for await (const event of events) if (event.kind === "step") losses.push(event.loss);
    expect(losses).toHaveLength(6);
    expect(losses.every(Number.isFinite)).toBe(true);
    expect(losses.at(-1)).toBeLessThan((losses[0] as number) * 0.8);
  });
});

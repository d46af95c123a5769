import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { Command } from "commander";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { registerTrain } from "../../src/cli/train.js";
import { characterTokenizerFile } from "../../src/data/plain-tokenizers.js";
import { fromPretrained } from "../../src/data/pretrained-files.js";
import { readSafetensors } from "../../src/data/safetensors-file.js";
import { text } from "../../src/data/text-files.js";
import { Tokenizer, writeTokenizer } from "../../src/data/tokenizer-files.js";
import { adapt } from "../../src/index.js";
import { readEvents } from "../support/event-file.js";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "train-"));
  await writeFile(join(folder, "corpus.txt"), "the quick brown fox jumps over the lazy dog. ".repeat(60));
  const chats = ["one", "two", "three", "four", "five", "six", "seven", "eight"].map((word) => ({
    messages: [
      { role: "system", content: "." },
      { role: "user", content: "hi" },
      { role: "assistant", content: word },
    ],
  }));
  await writeFile(join(folder, "chats.jsonl"), chats.map((chat) => JSON.stringify(chat)).join("\n"));
});
afterAll(() => rm(folder, { recursive: true }));

interface Parts {
  readonly data?: string;
  readonly model?: string;
  readonly args?: readonly string[];
}

async function train(keys: string, ...given: (string | Parts)[]): Promise<string> {
  const path = join(folder, "config.yaml");
  const parts = given.find((part) => typeof part === "object") ?? {};
  const args = [...given.filter((part) => typeof part === "string"), ...(parts.args ?? [])];
  const {
    data = `data: { path: ${JSON.stringify(join(folder, "corpus.txt"))}, context: 16 }`,
    model = keys.includes("model:") ? "" : "model: { layers: 1, width: 16, heads: 2 }",
  } = parts;
  await writeFile(
    path,
    `${data}
${model}
output_dir: ${JSON.stringify(join(folder, "runs"))}
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

/** What is in the folder of all runs; the database's own side files come and go with its connections. */
const left = async (): Promise<string[]> =>
  (await readdir(join(folder, "runs"))).filter((name) => !/^runs\.db-(wal|shm)$/.test(name));

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
});

const chat = "test/golden/checkpoints/llama-chat";
const read = async (...path: string[]) => (await readSafetensors(join(folder, "runs", ...path))).tensors;

describe("what a run leaves behind", () => {
  test("model/ loads with the weights of the last checkpoint, and its tokenizer gives bytes", async () => {
    const output = await train("max_steps: 2\nmodel: { layers: 1, width: 16, heads: 2, tie_embeddings: true }");
    const path = join(folder, "runs", idOf(output), "model");
    expect(output).toContain(`written: ${relative(process.cwd(), path)}\n`);
    const loaded = await fromPretrained(path);
    expect(loaded.config).toMatchObject({ vocabulary: 256, context: 16 });
    expect(await loaded.stateDict()).toEqual(await read(idOf(output), "checkpoints/checkpoint-2/model.safetensors"));
    const tokenizer = await Tokenizer.open(path);
    expect(tokenizer.encode("é fox")).toEqual([...Buffer.from("é fox")]);
  });

  test("with an average, model/ holds the averaged weights", async () => {
    const id = idOf(await train("max_steps: 3\nema_decay: 0.9\nlearning_rate: 0.01"));
    const loaded = await (await fromPretrained(join(folder, "runs", id, "model"))).stateDict();
    expect(loaded).toEqual(await read(id, "model-ema.safetensors"));
    expect(loaded).not.toEqual(await read(id, "checkpoints/checkpoint-3/model.safetensors"));
  });

  test("a model that is no Llama, of characters, loads as well; its tokenizer gives the corpus's ids", async () => {
    const path = join(folder, "corpus.txt");
    const data = `data: { path: ${JSON.stringify(path)}, context: 16, tokens: characters }`;
    const model = "model: { layers: 2, width: 16, heads: 2, placement: peri, norm: layer, positions: learned }";
    const id = idOf(await train("max_steps: 1\n", { data, model }));
    const loaded = await fromPretrained(join(folder, "runs", id, "model"));
    expect(await loaded.stateDict()).toEqual(await read(id, "checkpoints/checkpoint-1/model.safetensors"));
    const corpus = await text.open(path, { tokens: "characters", context: 16 });
    const tokenizer = await Tokenizer.open(join(folder, "runs", id, "model"));
    expect(tokenizer.encode("the lazy fox.")).toEqual([...corpus.encode("the lazy fox.")]);
    await corpus.close();
  });

  test("a run that is stopped leaves neither; gone on with, it leaves the model", async () => {
    const before = process.listeners("SIGTERM");
    const running = train("max_steps: 100000");
    await vi.waitFor(() => expect(process.listeners("SIGTERM").length).toBeGreaterThan(before.length), 10_000);
    for (const listener of process.listeners("SIGTERM")) if (!before.includes(listener)) listener("SIGTERM");
    const output = await running;
    const [, step] = /interrupted: step (\d+)/.exec(output) ?? [];
    expect(await readdir(join(folder, "runs", idOf(output)))).not.toContain("model");
    await train(`max_steps: ${Number(step) + 1}`, "--resume", idOf(output));
    expect(await readdir(join(folder, "runs", idOf(output)))).toContain("model");
  });
});

describe("from a checkpoint", () => {
  const withChats = (keys: string, ...args: string[]) =>
    train(`base_model: ${chat}\nsequence_len: 48\nlearning_rate: 0.01\n${keys}`, {
      data: `datasets: [{ path: ${JSON.stringify(join(folder, "chats.jsonl"))}, type: chat_template }]`,
      model: "",
      args,
    });
  const losses = (output: string) => [...output.matchAll(/^step .*? loss (\S+)/gm)].map(([, loss]) => Number(loss));

  test.each(["", "sample_packing: true"])("learns chats; model/ goes on with them %s", async (packing) => {
    const output = await withChats(`max_steps: 8\nval_set_size: 2\n${packing}`);
    const id = idOf(output);
    const seen = losses(output);
    expect(seen).toHaveLength(8);
    expect(seen.at(-1)).toBeLessThan((seen[0] as number) - 0.5);
    const path = join(folder, "runs", id, "model");
    const loaded = await fromPretrained(path);
    expect(await loaded.stateDict()).toEqual(await read(id, "checkpoints/checkpoint-8/model.safetensors"));
    const [ours, theirs] = [await Tokenizer.open(path), await Tokenizer.open(chat)];
    expect(ours.encode("count one")).toEqual(theirs.encode("count one"));
    expect(ours.config.chat_template).toEqual(theirs.config.chat_template);
  });

  test("counts epochs in rows of the datasets", async () => {
    expect(await withChats("num_epochs: 2")).toContain("finished: step 8 ");
  });

  test("a LoRA run leaves an adapter that loads on the base, which it did not change", async () => {
    const output = await withChats("adapter: lora\nlora_r: 4\nlora_target_modules: [q_proj, v_proj]\nmax_steps: 4");
    const id = idOf(output);
    expect(output).toMatch(/M of \S+ M parameters trained;/);
    expect(await readdir(join(folder, "runs", id))).not.toContain("model");
    const base = await fromPretrained(chat);
    const before = await base.stateDict();
    const adapters = await adapt.loadAdapter(base, join(folder, "runs", id, "adapter"));
    const after = await base.stateDict();
    for (const [name, value] of before) expect(after.get(name), name).toEqual(value);
    const checkpoint = await read(id, "checkpoints/checkpoint-4/model.safetensors");
    expect([...checkpoint.keys()].every((name) => name.includes(".lora_"))).toBe(true);
    const values = await adapters.stateDict("default");
    expect(values.size).toBe(8);
    for (const [name, value] of values) {
      expect(checkpoint.get(name.replace(/\.weight$/, ".default.weight")), name).toEqual(value);
      if (name.includes("lora_B")) expect((value.data as Float32Array).some((b) => b !== 0)).toBe(true);
    }
  });

  test("a LoRA run goes on as if it had not stopped", async () => {
    const keys = "adapter: lora\nlora_dropout: 0.1\nlr_scheduler: constant\n";
    const whole = idOf(await withChats(`${keys}max_steps: 4`));
    const half = idOf(await withChats(`${keys}max_steps: 2`));
    expect(idOf(await withChats(`${keys}max_steps: 4`, "--resume", half))).toBe(half);
    const file = "adapter/adapter_model.safetensors";
    expect(await read(half, file)).toEqual(await read(whole, file));
  });

  test("text is read with the checkpoint's tokens, or those that are named", async () => {
    const data = (more: string) =>
      `data: { path: ${JSON.stringify(join(folder, "corpus.txt"))}, context: 16, validation: 0${more} }`;
    const tokensOf = async (more: string) => {
      const output = await train(`base_model: ${chat}\nmax_steps: 1\n`, { data: data(more), model: "" });
      return Number(/; ([\d,]+) tokens to train on/.exec(output)?.[1]?.replace(",", ""));
    };
    const { length } = (await Tokenizer.open(chat)).encode(await readFile(join(folder, "corpus.txt"), "utf8"), {
      specials: false,
    });
    expect(await tokensOf("")).toBe(length);
    expect(await tokensOf(", tokens: bytes")).toBe(2700);
  });

  test.each([
    ["a row longer than the model takes", { data: "datasets: [{ path: a }]" }, "sequence_len is 512; base_model"],
    ["a window longer than that", { data: "data: { path: a, context: 65 }" }, "takes 64 tokens at most"],
    ["sizes beside it", { model: "model: { layers: 2 }" }, "model.layers is given with base_model"],
  ])("refuses %s, and leaves no run behind", async (_, parts, message) => {
    const before = await left();
    await expect(train(`base_model: ${chat}`, { model: "", ...parts })).rejects.toMatchObject({
      code: "config",
      message: expect.stringContaining(message),
    });
    expect(await left()).toEqual(before);
  });

  test("refuses a tokenizer with more tokens than the model, with both numbers", async () => {
    const words = join(folder, "words");
    await mkdir(words, { recursive: true });
    await writeTokenizer(
      words,
      characterTokenizerFile(Array.from({ length: 400 }, (_, i) => String.fromCodePoint(32 + i))),
    );
    const data = `data: { path: ${JSON.stringify(join(folder, "corpus.txt"))}, context: 16, tokens: ${JSON.stringify(words)} }`;
    await expect(train(`base_model: ${chat}`, { data, model: "" })).rejects.toThrow(
      /has 400 tokens, more than the 384 of base_model/,
    );
  });

  test("refuses datasets without a checkpoint", async () => {
    await expect(train("", { data: "datasets: [{ path: a }]" })).rejects.toThrow("datasets need base_model");
  });
});

describe("unfrozen_parameters", () => {
  const trainedAfter = async (steps: number) => {
    const output = await train(`max_steps: ${steps}\nunfrozen_parameters: ["model.layers.0.mlp.", "lm_head"]`);
    const path = /written: (.*)$/m.exec(output)?.[1] as string;
    return (await readSafetensors(join(path.startsWith("/") ? path : join(process.cwd(), path), "model.safetensors")))
      .tensors;
  };

  test("trains what begins like them, and nothing else", async () => {
    const [early, late] = [await trainedAfter(1), await trainedAfter(4)];
    const changed = [...early].filter(
      ([name, value]) => !value.toNumbers().every((x, i) => x === late.get(name)?.at(i)),
    );
    expect(changed.length).toBeGreaterThan(2);
    for (const [name] of changed) expect(name).toMatch(/^(model\.layers\.0\.mlp\.|lm_head)/);
  });

  test.each([
    ['unfrozen_parameters: ["model.layers.7."]', 'no path begins like "model.layers.7."; paths look like "model.'],
    ['unfrozen_parameters: ["("]', '"(" is not a regular expression'],
    ['unfrozen_parameters: ["lm_head.weight[:10]"]', "names rows of a parameter"],
  ])("%s is refused", async (keys, message) => {
    await expect(train(`max_steps: 1\n${keys}`)).rejects.toThrow(message);
  });
});

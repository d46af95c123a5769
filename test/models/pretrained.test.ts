/** Public architectures against the numbers of their own implementation, from checkpoint folders as users have them. */
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { fromPretrained, savePretrained } from "../../src/data/pretrained-files.js";
import { readSafetensors } from "../../src/data/safetensors-file.js";
import { fromGPT2, type GPT } from "../../src/models/index.js";
import { Linear } from "../../src/nn/index.js";
import { compile } from "../../src/runtime/index.js";
import { crossEntropy, grad, type NDArray, type Tensor } from "../../src/tensor/index.js";

const root = new URL("../golden/checkpoints/", import.meta.url).pathname;
const refused = ["llama-dynamic", "phi3", "phi3-longrope"];
const cases = readdirSync(root, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && !refused.includes(entry.name))
  .map(({ name }) => name);

const linearLayer = (width: number) => new Linear(width, width, { bias: false });
const scratch = mkdtempSync(join(tmpdir(), "layerwise-pretrained-"));
afterAll(() => rmSync(scratch, { recursive: true }));

/** Largest difference relative to the largest magnitude. */
function error(actual: NDArray, expected: NDArray): number {
  expect(actual.shape).toEqual(expected.shape);
  const [a, b] = [actual.toNumbers(), expected.toNumbers()];
  return Math.max(...a.map((v, i) => Math.abs(v - (b[i] as number)))) / Math.max(...b.map(Math.abs));
}

async function logitsOf(model: GPT, tokens: NDArray): Promise<NDArray> {
  const program = compile(({ tokens: ids }: { tokens: Tensor }) => ({ logits: model.apply(ids) }));
  const { logits } = await program({ tokens });
  await program.release();
  return logits;
}

describe("checkpoints of public architectures", () => {
  it.each(cases)("%s: logits and hidden states equal the reference", async (name) => {
    const model = await fromPretrained(join(root, name));
    const { tensors } = await readSafetensors(join(root, name, "reference.safetensors"));
    const get = (key: string) => tensors.get(key) as NDArray;
    const tokens = get("input_ids");
    expect(error(await logitsOf(model, tokens), get("logits"))).toBeLessThan(1e-5);
    expect(error(await logitsOf(model, get("one.input_ids")), get("one.logits"))).toBeLessThan(1e-5);
    const program = compile(({ ids }: { ids: Tensor }) => {
      const states = model.hiddenStates(ids);
      return Object.fromEntries(states.map((state, l) => [`h${l}`, state]));
    });
    const states = await program({ ids: tokens });
    // Their last state is the one after the final norm.
    for (let l = 0; l < model.config.layers; l++)
      expect(error(states[`h${l}`] as NDArray, get(`hidden_states.${l}`))).toBeLessThan(1e-5);
    await program.release();
  });

  it.each(cases)("%s: written again, it is the same checkpoint", async (name) => {
    const model = await fromPretrained(join(root, name));
    const folder = join(scratch, name);
    await savePretrained(model, folder, { maxShardBytes: name === "llama-sharded" ? 8000 : 5e9 });
    const [again, { tensors }] = [
      await fromPretrained(folder),
      await readSafetensors(join(root, name, "reference.safetensors")),
    ];
    expect(
      error(await logitsOf(again, tensors.get("input_ids") as NDArray), tensors.get("logits") as NDArray),
    ).toBeLessThan(1e-5);
    expect(readdirSync(folder).some((file) => file.endsWith(".index.json"))).toBe(name === "llama-sharded");
    if (name === "llama" || name === "gpt2" || name === "gpt-neox") {
      const [ours, theirs] = [folder, join(root, name)].map((f) => readSafetensors(join(f, "model.safetensors")));
      const [own, original] = [(await ours)?.tensors, (await theirs)?.tensors];
      for (const [key, value] of own ?? []) expect(value.data).toEqual(original?.get(key)?.data);
    }
  });

  it.each(["llama", "gpt2"])("%s: gradients equal the reference", async (name) => {
    const model = await fromPretrained(join(root, name));
    const { tensors } = await readSafetensors(join(root, name, "reference.safetensors"));
    const { tensors: expected } = await readSafetensors(join(root, name, "gradients.safetensors"));
    const ids = tensors.get("input_ids") as NDArray;
    const variables = [...model.namedVariables()];
    const program = compile(({ tokens }: { tokens: Tensor }) => {
      const T = tokens.dim(1);
      const logits = model.apply(tokens).slice({ axis: 1, end: T - 1 });
      const loss = crossEntropy(logits, tokens.slice({ axis: 1, start: 1 }));
      const gradients = grad(
        loss,
        variables.map(([, v]) => v),
      );
      return { loss, ...Object.fromEntries(variables.map(([path], i) => [path, gradients[i] as Tensor])) };
    });
    const results = await program({ tokens: ids });
    const theirs = name === "gpt2" ? fromGPT2(new Map([...expected].filter(([key]) => key !== "loss"))) : expected;
    const scale = Math.max(...[...theirs.values()].flatMap((value) => value.toNumbers().map(Math.abs)));
    for (const [path] of variables) {
      const [ours, reference] = [results[path as "loss"] as NDArray, theirs.get(path) as NDArray];
      // Softmax does not feel a key's bias, so its gradient is 0 but for rounding.
      const isNoise = path.endsWith("k_proj.bias");
      if (isNoise) expect(Math.max(...ours.toNumbers().map(Math.abs)) / scale).toBeLessThan(1e-6);
      else expect(error(ours, reference), path).toBeLessThan(2e-5);
    }
    await program.release();
  });
});

describe("checkpoints that cannot be used", () => {
  const broken = (change: (config: Record<string, unknown>) => void, from = "llama"): string => {
    const folder = mkdtempSync(join(scratch, "broken-"));
    cpSync(join(root, from), folder, { recursive: true });
    const path = join(folder, "config.json");
    const config = JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
    change(config);
    writeFileSync(path, JSON.stringify(config));
    return folder;
  };
  const set = (values: Record<string, unknown>) => (config: Record<string, unknown>) =>
    void Object.assign(config, values);

  it.each([
    [
      "an architecture",
      set({ model_type: "lama" }),
      'config.json: model_type: "lama" is not supported (did you mean "llama"? known: gpt2, llama',
    ],
    [
      "a task",
      set({ architectures: ["LlamaForSequenceClassification"] }),
      'architectures: ["LlamaForSequenceClassification"] is not supported; expected LlamaForCausalLM',
    ],
    ["an activation", set({ hidden_act: "xielu" }), 'hidden_act: "xielu" is not supported; known: silu'],
    [
      "quantised weights",
      set({ quantization_config: { bits: 4 } }),
      "quantization_config: quantised checkpoints are not supported",
    ],
    [
      "a rotary scaling",
      set({ rope_scaling: { rope_type: "longrope" } }),
      'rope_type: "longrope" is not supported; known: default, linear, llama3, yarn',
    ],
    [
      "a size that is no number",
      set({ hidden_size: "32" }),
      'hidden_size: expected a whole number of at least 1, got "32"',
    ],
    [
      "a missing size",
      set({ hidden_size: undefined }),
      "hidden_size: expected a whole number of at least 1, got undefined",
    ],
    [
      "other sizes",
      set({ intermediate_size: 12 }),
      /gives model\.layers\.0\.mlp\.(gate|up|down)_proj\.weight the shape .*config\.json asks for/,
    ],
    ["more layers", set({ num_hidden_layers: 5 }), "misses model.layers."],
    ["fewer layers", set({ num_hidden_layers: 1 }), /has no place in the model \(model\.layers\.1/],
  ])("%s", async (_, change, message) => {
    await expect(fromPretrained(broken(change))).rejects.toThrow(message);
  });

  it.each(refused)("%s: refused by name", async (name) => {
    await expect(fromPretrained(join(root, name))).rejects.toThrow(/is not supported/);
  });

  it("no folder, no weights, a shard that is gone", async () => {
    await expect(fromPretrained(join(scratch, "nowhere"))).rejects.toThrow(
      "no config.json; expected a checkpoint folder",
    );
    const folder = broken(() => {}, "llama-sharded");
    rmSync(join(folder, "model-00002-of-00003.safetensors"));
    await expect(fromPretrained(folder)).rejects.toThrow("model-00002-of-00003.safetensors");
    const bare = broken(() => {});
    rmSync(join(bare, "model.safetensors"));
    writeFileSync(join(bare, "pytorch_model.bin"), "");
    await expect(fromPretrained(bare)).rejects.toThrow("only pytorch_model.bin; convert it to safetensors first");
  });
});

describe("saving over a checkpoint", () => {
  it("leaves the files of the new one alone, whichever way the weights are split", async () => {
    const model = await fromPretrained(join(root, "llama"));
    const folder = join(scratch, "over");
    await savePretrained(model, folder, { maxShardBytes: 8000, tokenizerFrom: join(root, "llama-chat") });
    expect(readdirSync(folder)).toContain("model.safetensors.index.json");
    await savePretrained(model, folder);
    expect(readdirSync(folder).sort()).toEqual([
      "config.json",
      "generation_config.json",
      "model.safetensors",
      "tokenizer.json",
      "tokenizer_config.json",
    ]);
    await fromPretrained(folder);
  });

  it("keeps the old one when the new one cannot be written", async () => {
    const model = await fromPretrained(join(root, "llama"));
    const folder = join(scratch, "kept");
    await savePretrained(model, folder);
    const before = readFileSync(join(folder, "model.safetensors"));
    const broken = await fromPretrained(join(root, "llama"));
    Object.assign(broken.model, { extra: linearLayer(4) });
    await expect(savePretrained(broken, folder)).rejects.toThrow("has no place for model.extra.weight");
    // A tokenizer that cannot be copied: a folder stands where its file should be.
    mkdirSync(join(scratch, "folder-in-the-way/tokenizer.json"), { recursive: true });
    await expect(
      savePretrained(model, folder, { tokenizerFrom: join(scratch, "folder-in-the-way") }),
    ).rejects.toThrow();
    expect(readFileSync(join(folder, "model.safetensors"))).toEqual(before);
    expect(readdirSync(folder).sort()).toEqual(["config.json", "model.safetensors"]);
  });
});

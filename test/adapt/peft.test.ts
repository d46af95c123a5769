/** PEFT's files: read to its numbers, written as it reads them, refused by name where they do not fit. */
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { fromPeft, loadAdapter, lora, saveAdapter, toPeft } from "../../src/adapt/node.js";
import { readSafetensors, writeSafetensors } from "../../src/data/safetensors-file.js";
import { type GPT, gpt } from "../../src/models/index.js";
import { rmsNorm, swiglu } from "../../src/nn/index.js";
import { compile } from "../../src/runtime/index.js";
import { crossEntropy, grad, type NDArray, type Tensor } from "../../src/tensor/index.js";
import { difference } from "../support/compare.js";
import { goldenPath } from "../support/golden.js";

const golden = (path: string): string => goldenPath(`adapters/${path}`);
const { tensors: weights } = await readSafetensors(golden("base.safetensors"));
const { tensors: expected } = await readSafetensors(golden("expected.safetensors"));
const tokens = weights.get("tokens") as NDArray;
const cases = ["list", "all-linear", "patterns", "layers"];

function llama(more: { readonly layers?: number; readonly width?: number } = {}): GPT {
  return gpt({
    layers: 2,
    width: 16,
    heads: 2,
    kvHeads: 1,
    vocabulary: 37,
    context: 12,
    mlp: swiglu({ hidden: 24 }),
    norm: (width) => rmsNorm(width, { eps: 1e-5 }),
    ...more,
  });
}

const base = (): GPT => {
  const model = llama();
  model.loadStateDict(new Map([...weights].filter(([name]) => name !== "tokens")));
  return model;
};

async function run<K extends string>(fn: (tokens: Tensor) => Record<K, Tensor>): Promise<Record<K, NDArray>> {
  const program = compile(({ tokens }: { tokens: Tensor }) => fn(tokens));
  const results = await program({ tokens });
  await program.release();
  return results as Record<K, NDArray>;
}
const logitsOf = async (model: GPT): Promise<NDArray> => (await run((tokens) => ({ y: model.apply(tokens) }))).y;
const matches = (actual: NDArray, name: string): void =>
  expect(difference(actual, expected.get(name) as NDArray, 1e-5), name).toBe("");

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "layerwise-adapt-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

it("computes the base as transformers does", async () => matches(await logitsOf(base()), "base.logits"));

describe.each(cases)("the adapter %s", (name) => {
  it("gives PEFT's logits, gradients and merged weights", async () => {
    const model = base();
    const adapters = await loadAdapter(model, golden(name), { train: true });
    matches(await logitsOf(model), `${name}.logits`);
    const parameters = model.parameters();
    const gradients = await run((tokens) => {
      const logits = model.apply(tokens).slice({ axis: 1, end: -1 });
      const loss = crossEntropy(logits, tokens.slice({ axis: 1, start: 1 }));
      return Object.fromEntries(grad(loss, parameters).map((g, i) => [(parameters[i] as { name: string }).name, g]));
    });
    const names = [...expected.keys()].filter((key) => key.startsWith(`${name}.grad.`));
    expect(Object.keys(gradients)).toHaveLength(names.length);
    for (const [path, gradient] of Object.entries(gradients))
      matches(gradient, `${name}.grad.${path.replace(".default", "")}`);
    await adapters.merge();
    const merged = [...expected.keys()].find((key) => key.startsWith(`${name}.merged.`)) as string;
    matches((await adapters.strip().stateDict()).get(merged.slice(`${name}.merged.`.length)) as NDArray, merged);
  });

  it("is written as it was read", async () => {
    const adapters = await loadAdapter(base(), golden(name));
    await saveAdapter(adapters, join(folder, "new/adapter"), "default", { base: "tiny/llama" });
    const { tensors: before } = await readSafetensors(golden(`${name}/adapter_model.safetensors`));
    const { tensors: after } = await readSafetensors(join(folder, "new/adapter/adapter_model.safetensors"));
    expect([...after.keys()].sort()).toEqual([...before.keys()].sort());
    for (const [key, array] of after) expect(array.toNumbers(), key).toEqual(before.get(key)?.toNumbers());
    const config = JSON.parse(await readFile(join(folder, "new/adapter/adapter_config.json"), "utf8"));
    expect(config).toMatchObject({ peft_type: "LORA", base_model_name_or_path: "tiny/llama", bias: "none" });
    const again = base();
    await loadAdapter(again, join(folder, "new/adapter"));
    matches(await logitsOf(again), `${name}.logits`);
  });
});

it("adds adapters up as PEFT does", async () => {
  const model = base();
  await loadAdapter(model, golden("list"), { name: "a" });
  const adapters = await loadAdapter(model, golden("all-linear"), { name: "b" });
  matches(await logitsOf(model), "all-linear.logits");
  adapters.use(["a", "b"]);
  matches(await logitsOf(model), "both.logits");
  adapters.use("a");
  matches(await logitsOf(model), "list.logits");
  adapters.use(undefined);
  matches(await logitsOf(model), "base.logits");
  expect(model.parameters()).toEqual([]);
});

it("writes short names where they choose the same layers, whole paths and patterns where not", async () => {
  const config = async (options: Parameters<typeof lora>[1]) =>
    (await toPeft(lora(llama(), options), "default")).config;
  expect(await config({ targets: ["v_proj", "q_proj"], rank: 3, alpha: 5, rslora: true, dropout: 0.2 })).toMatchObject({
    target_modules: ["q_proj", "v_proj"],
    r: 3,
    lora_alpha: 5,
    use_rslora: true,
    lora_dropout: 0.2,
    rank_pattern: {},
  });
  expect(await config({ targets: "model.layers.1.mlp.*", rankPattern: { down_proj: 2 } })).toMatchObject({
    target_modules: ["gate_proj", "up_proj", "down_proj"].map((name) => `model.layers.1.mlp.${name}`),
    r: 8,
    rank_pattern: { "model.layers.1.mlp.down_proj": 2 },
  });
});

describe("refuses", () => {
  const read = async (name: string) => ({
    config: JSON.parse(await readFile(golden(`${name}/adapter_config.json`), "utf8")) as Record<string, unknown>,
    tensors: (await readSafetensors(golden(`${name}/adapter_model.safetensors`))).tensors,
  });

  it.each<[Record<string, unknown>, RegExp]>([
    [{ use_dora: true }, /use_dora is true, which is not supported/],
    [{ bias: "lora_only" }, /bias is "lora_only", which is not supported/],
    [{ lora_bias: true }, /lora_bias is true/],
    [{ modules_to_save: ["lm_head"] }, /modules_to_save is \["lm_head"\], which is not supported/],
    [{ layer_replication: [[0, 2]] }, /layer_replication is \[\[0,2\]\]/],
    [{ peft_type: "IA3" }, /peft_type is "IA3"; expected "LORA"/],
    [{ init_lora_weights: "pissa_niter_16" }, /"pissa_niter_16", which also changes the base's weights/],
    [{ r: "8" }, /r is "8"; expected a number/],
    [{ target_modules: 7 }, /target_modules is 7; expected names or a regular expression/],
    [{ target_modules: "(" }, /"\(" is no regular expression/],
    [{ rank_pattern: { q_proj: "2" } }, /rank_pattern is .* expected numbers/],
    [{ layers_to_transform: ["1"] }, /layers_to_transform is \["1"\]/],
    [{ target_modules: ["q_proj"] }, /its target_modules do not choose model\.layers\.0\.self_attn\.v_proj/],
    [{ exclude_modules: ["layers.0.self_attn.q_proj"] }, /do not choose model\.layers\.0\.self_attn\.q_proj/],
    [
      { target_modules: ["q_proj", "v_proj", "o_proj"] },
      /no tensors for its target model\.layers\.0\.self_attn\.o_proj/,
    ],
    [
      { rank_pattern: { "layers.1.self_attn.q_proj": 2 } },
      /layers\.1\.self_attn\.q_proj\.lora_A\.weight is \[4, 16\], expected \[2, 16\]/,
    ],
  ])("%j", async (change, message) => {
    const model = base();
    const { config, tensors } = await read("list");
    expect(() => fromPeft(model, { config: { ...config, ...change }, tensors })).toThrow(message);
    expect(model.parameters()).toHaveLength(llama().parameters().length);
  });

  it.each<[string, () => GPT, RegExp]>([
    [
      "fewer layers",
      () => llama({ layers: 1 }),
      /of another base: the model has no Linear at model\.layers\.1\.self_attn\.q_proj/,
    ],
    ["another width", () => llama({ width: 32 }), /q_proj\.lora_A\.weight is \[4, 16\], expected \[4, 32\]/],
  ])("a base with %s", async (_, make, message) => {
    const model = make();
    await expect(loadAdapter(model, golden("list"))).rejects.toThrow(message);
    expect([...model.namedVariables().keys()].join()).not.toContain("lora_");
  });

  it("tensors that are none of an adapter's, a missing half, a pickle, broken JSON", async () => {
    const { config, tensors } = await read("list");
    const odd = new Map([...tensors, ["lm_head.weight", tokens]]);
    expect(() => fromPeft(base(), { config, tensors: odd })).toThrow(/tensor "lm_head.weight"; expected names such as/);
    const half = new Map([...tensors].filter(([key]) => !key.endsWith("0.self_attn.q_proj.lora_B.weight")));
    expect(() => fromPeft(base(), { config, tensors: half })).toThrow(
      /0\.self_attn\.q_proj\.lora_B\.weight is missing/,
    );
    await cp(golden("list/adapter_config.json"), join(folder, "adapter_config.json"));
    await writeFile(join(folder, "adapter_model.bin"), "");
    await expect(loadAdapter(base(), folder)).rejects.toThrow(/adapter_model\.bin is a pickle/);
    await writeSafetensors(join(folder, "adapter_model.safetensors"), tensors);
    await writeFile(join(folder, "adapter_config.json"), "{");
    await expect(loadAdapter(base(), folder)).rejects.toThrow(/adapter_config\.json: expected JSON/);
  });
});

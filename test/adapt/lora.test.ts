/** Adapters: what is promised of training, switching, merging, and of taking them away again. */
import { beforeEach, describe, expect, it } from "vitest";
import { type Lora, LoraLinear, type LoraOptions, lora } from "../../src/adapt/index.js";
import { type GPT, gpt } from "../../src/models/index.js";
import { clone, freeze, Linear } from "../../src/nn/index.js";
import { adamW } from "../../src/optim/index.js";
import { compile, evaluate } from "../../src/runtime/index.js";
import {
  crossEntropy,
  grad,
  inference,
  NDArray,
  normalArray,
  type Tensor,
  tensor,
  training,
} from "../../src/tensor/index.js";
import { difference } from "../support/compare.js";

const build = (seed = 3): GPT =>
  gpt({ layers: 2, width: 16, heads: 2, vocabulary: 11, context: 8, bias: true, initialization: { std: 0.3 }, seed });
const tokens = NDArray.from([1, 5, 2, 8, 0, 3, 9, 4], "int32", [2, 4]);
const targets = NDArray.from([5, 2, 8, 1, 3, 9, 4, 7], "int32", [2, 4]);
const programOf = (model: GPT) => compile(({ tokens }: { tokens: Tensor }) => ({ logits: model.apply(tokens) }));
const logitsOf = async (model: GPT): Promise<NDArray> => {
  const program = programOf(model);
  const { logits } = await program({ tokens });
  await program.release();
  return logits;
};
/** Give an adapter values of its own, so that it does something. */
const fill = async (adapters: Lora, name: string, seed: number): Promise<void> => {
  const state = await adapters.stateDict(name);
  adapters.loadStateDict(
    name,
    new Map([...state].map(([path, { shape }]) => [path, normalArray({ seed, site: path }, shape)])),
  );
};
const same = (a: NDArray, b: NDArray): string => difference(a, b, 1e-5);

let model: GPT;
beforeEach(() => {
  model = build();
});

describe("lora", () => {
  it("changes nothing at first, and leaves A and B alone to be trained", async () => {
    const before = await logitsOf(model);
    const adapters = lora(model, { rank: 2, targets: ["q_proj", "down_proj"] });
    expect(same(await logitsOf(model), before)).toBe("");
    expect([...adapters.layers.keys()]).toEqual([
      "model.layers.0.self_attn.q_proj",
      "model.layers.0.mlp.down_proj",
      "model.layers.1.self_attn.q_proj",
      "model.layers.1.mlp.down_proj",
    ]);
    expect(model.parameters().map(({ name }) => name)).toEqual(
      [...adapters.layers.keys()].flatMap((path) => [`${path}.lora_A.default.weight`, `${path}.lora_B.default.weight`]),
    );
    const A = [...(await adapters.stateDict("default"))].filter(([path]) => path.includes("lora_A"));
    for (const [path, array] of A) {
      const bound = 1 / Math.sqrt(array.shape[1] as number);
      const largest = Math.max(...array.toNumbers().map(Math.abs));
      expect(largest, path).toBeLessThanOrEqual(bound);
      expect(largest, path).toBeGreaterThan(bound / 2);
    }
  });

  it("keeps the paths of the base: its values load and come out as before", async () => {
    const before = await model.stateDict();
    const adapters = lora(model);
    const base = await adapters.baseStateDict();
    expect([...base.keys()]).toEqual([...before.keys()]);
    const other = build(4);
    await adapters.loadBaseStateDict(await other.stateDict());
    expect(same(await logitsOf(model), await logitsOf(other))).toBe("");
    base.delete("lm_head.weight");
    await expect(adapters.loadBaseStateDict(base)).rejects.toThrow(/missing lm_head.weight/);
  });

  it("trains the adapter and not the base, with moments for the adapter alone", async () => {
    const base = await model.stateDict();
    const adapters = lora(model, { rank: 2, dropout: 0.1 });
    const parameters = model.parameters();
    const optimizer = adamW(parameters, { learningRate: 0.03 });
    const size = parameters.reduce((sum, variable) => sum + variable.size, 0);
    expect([...optimizer.state().values()].reduce((sum, variable) => sum + variable.size, 0)).toBe(2 * size + 1);
    const step = compile(({ tokens, targets }: { tokens: Tensor; targets: Tensor }) => {
      const loss = training(() => crossEntropy(model.apply(tokens), targets));
      optimizer.update(grad(loss, parameters));
      return { loss };
    });
    const losses: number[] = [];
    for (let i = 0; i < 60; i++) losses.push((await step({ tokens, targets })).loss.item());
    await step.release();
    expect(losses.at(-1)).toBeLessThan((losses[0] as number) - 1);
    for (const [path, value] of await adapters.baseStateDict()) expect(same(value, base.get(path) as NDArray)).toBe("");
  });

  it("draws dropout on the adapter's input in training only, and only for one that is trained", async () => {
    const layer = new Linear(4, 3);
    const adapters = lora(layer, { rank: 2, dropout: 0.5 });
    await fill(adapters, "default", 1);
    const x = tensor([[1, 2, 3, 4]]);
    const run = async (mode: typeof training) => (await evaluate([mode(() => adapters.model.apply(x))]))[0] as NDArray;
    const still = await run(inference);
    expect(same(await run(training), still)).not.toBe("");
    adapters.use("default");
    expect(same(await run(training), still)).toBe("");
  });

  it.each<[string, LoraOptions, number]>([
    ["alpha / rank", { rank: 4, alpha: 6 }, 6 / 4],
    ["alpha / √rank with rslora", { rank: 4, alpha: 6, rslora: true }, 3],
    ["ranks and alphas by pattern", { rank: 4, alpha: 6, rankPattern: { "": 2 }, alphaPattern: { ".*": 5 } }, 5 / 2],
  ])("computes x Wᵀ + b + s x Aᵀ Bᵀ, s = %s", async (_, options, scale) => {
    const layer = new Linear(4, 3);
    const adapters = lora(layer, options);
    await fill(adapters, "default", 1);
    const [A, B] = [...(await adapters.stateDict("default")).values()] as [NDArray, NDArray];
    const [a, b] = [tensor(A.toArray() as number[][]), tensor(B.toArray() as number[][])];
    const x = tensor([[1, -2, 0.5, 3]]);
    const expected = layer.apply(x).add(x.matmul(a.transpose()).matmul(b.transpose()).mul(scale));
    const [y, wanted] = (await evaluate([adapters.model.apply(x), expected])) as [NDArray, NDArray];
    expect(same(y, wanted)).toBe("");
  });

  it("takes a query, a list, or every layer but the head", () => {
    const paths = (options: LoraOptions) => [...lora(build(), options).layers.keys()];
    expect(paths({})).toHaveLength(14);
    expect(paths({})).not.toContain("lm_head");
    expect(paths({ targets: "model.layers.1.self_attn.*" })).toHaveLength(4);
    expect(paths({ targets: ["lm_head", "self_attn.q_proj"] })).toHaveLength(3);
    expect(paths({ targets: (path) => path.endsWith("0.mlp.up_proj") })).toEqual(["model.layers.0.mlp.up_proj"]);
  });
});

describe("several adapters on one base", () => {
  let adapters: Lora<GPT>;
  let base: NDArray;
  beforeEach(async () => {
    base = await logitsOf(model);
    lora(model, { name: "a", rank: 2 });
    adapters = lora(model, { name: "b", rank: 3, targets: ["q_proj", "up_proj"] });
    for (const [i, name] of ["a", "b"].entries()) await fill(adapters, name, i);
  });

  it("are switched without compiling anything again", async () => {
    adapters.use(undefined);
    const program = programOf(model);
    const compiled = await program.prepare({ tokens });
    const run = async (names: string | string[] | undefined): Promise<NDArray> => {
      adapters.use(names);
      return (await program({ tokens })).logits;
    };
    const [none, a, b, both] = [await run(undefined), await run("a"), await run("b"), await run(["a", "b"])];
    expect(same(none, base)).toBe("");
    expect(await adapters.active()).toEqual(["a", "b"]);
    for (const [i, one] of [a, b, both].entries())
      for (const other of [none, a, b, both].slice(0, i + 1)) expect(same(one, other)).not.toBe("");
    expect(same(await run("a"), a)).toBe("");
    expect(await program.prepare({ tokens })).toBe(compiled);
    adapters.delete("b");
    adapters.use("a");
    expect(same(await logitsOf(model), a)).toBe("");
    await program.release();
  });

  it("are trained only when asked, and only while in use", () => {
    const trained = () => [...new Set(model.parameters().map(({ name }) => name.split(".").at(-2)))];
    expect(trained()).toEqual(["b"]);
    adapters.use("a");
    expect(trained()).toEqual([]);
    adapters.use("a", { train: true });
    expect(trained()).toEqual(["a"]);
    adapters.use(["a", "b"], { train: true });
    expect(trained()).toEqual(["a", "b"]);
  });

  it("are added up by merge, and apart again after unmerge", async () => {
    adapters.use(["a", "b"]);
    const both = await logitsOf(model);
    const weights = await adapters.baseStateDict();
    await adapters.merge();
    expect(same(await logitsOf(model), both)).toBe("");
    await expect(adapters.merge()).rejects.toThrow(/merge: "a", "b" is merged into the weights; unmerge\(\) first/);
    expect(() => adapters.use("a")).toThrow(/unmerge\(\) first/);
    expect(() => adapters.delete("a")).toThrow(/unmerge\(\) first/);
    expect(() => lora(model, { name: "c" })).toThrow(/unmerge\(\) first/);
    await adapters.unmerge();
    await expect(adapters.unmerge()).rejects.toThrow(/no adapter is merged/);
    for (const [path, value] of await adapters.baseStateDict())
      expect(same(value, weights.get(path) as NDArray), path).toBe("");
    expect(same(await logitsOf(model), both)).toBe("");
    adapters.use("b");
    await adapters.merge();
    await adapters.unmerge();
    expect(await adapters.active()).toEqual(["b"]);
  });

  it("leave a plain model behind: merged with what they did, or without", async () => {
    adapters.use("b");
    const b = await logitsOf(model);
    const copy = await clone(model);
    await adapters.merge();
    const plain = adapters.strip();
    expect([...plain.namedModules().values()].filter((module) => module instanceof LoraLinear)).toEqual([]);
    expect([...plain.namedVariables().keys()]).toEqual([...build().namedVariables().keys()]);
    expect(same(await logitsOf(plain), b)).toBe("");
    expect(same(await logitsOf(copy), b)).toBe(""); // a copy of its own, still with adapters
    expect(plain.parameters()).toHaveLength(build().parameters().length);
  });

  it("give back the trainability that the base had", () => {
    const other = build();
    freeze(other, "model.embed_tokens");
    const before = other.parameters().map(({ name }) => name);
    const handle = lora(other, { name: "x" });
    handle.delete("x");
    expect(other.parameters().map(({ name }) => name)).toEqual(before);
    expect(handle.layers.size).toBe(0);
  });
});

it("merges into layers with centred outputs, too", async () => {
  const layer = new Linear(4, 6, { zeroMeanOutput: true });
  const adapters = lora(layer, { rank: 2 });
  await fill(adapters, "default", 2);
  const x = tensor([[1, -2, 0.5, 3]]);
  const [before] = (await evaluate([adapters.model.apply(x)])) as [NDArray];
  await adapters.merge();
  const [after] = (await evaluate([adapters.strip().apply(x)])) as [NDArray];
  expect(same(after, before)).toBe("");
});

it.each<[string, (model: GPT) => unknown, RegExp]>([
  ["a name that is taken", (model) => [lora(model), lora(model)], /already an adapter named "default"/],
  ["a name that would break paths", (model) => lora(model, { name: "a.b" }), /"a.b" is no name for an adapter/],
  ["a rank of 0", (model) => lora(model, { rank: 0 }), /rank that is a positive whole number, got 0 for model\.layers/],
  ["a dropout of 1", (model) => lora(model, { dropout: 1 }), /dropout must be in \[0, 1\), got 1/],
  ["an unknown layer", (model) => lora(model, { targets: ["q_porj"] }), /named "q_porj" \(did you mean "q_proj"\?/],
  ["an embedding", (model) => lora(model, { targets: ["embed_tokens"] }), /model\.embed_tokens is an Embedding/],
  ["a query without layers", (model) => lora(model, { targets: "blocks.*" }), /targets "blocks\.\*" match no Linear/],
  ["a broken pattern", (model) => lora(model, { rankPattern: { "(": 1 } }), /"\(" is no regular expression/],
  ["an unknown adapter", (model) => lora(model, { name: "a" }).use("b"), /no adapter named "b"; there are: a/],
  ["values that are missing", (model) => lora(model).loadStateDict("default", new Map()), /lora_A\.weight is missing/],
])("refuses %s", async (_, act, message) => {
  const before = await model.stateDict();
  const trainable = model.parameters().length;
  expect(() => act(model)).toThrow(message);
  if (!/taken|unknown adapter|values/.test(_)) {
    expect([...(await model.stateDict()).keys()]).toEqual([...before.keys()]);
    expect(model.parameters()).toHaveLength(trainable);
  }
});

it("refuses to merge nothing", async () => {
  const adapters = lora(model);
  adapters.use(undefined);
  await expect(adapters.merge()).rejects.toThrow(/no adapter is in use/);
});

/** What generation promises of its graph: weights of few bits, prompts in pieces, growing caches, weights in training. */
import { describe, expect, it } from "vitest";
import { quantizeBlocks, type WeightBits } from "../../src/compile/quantized-weights.js";
import { VariableDecoder } from "../../src/models/generation/variable-decoder.js";
import { Generator, type GeneratorType, gpt } from "../../src/models/index.js";
import { Linear, slidingWindow } from "../../src/nn/index.js";
import { sgd } from "../../src/optim/index.js";
import { compile } from "../../src/runtime/index.js";
import { crossEntropy, grad, NDArray, type Tensor } from "../../src/tensor/index.js";

const vocabulary = 40;
const small = (options = {}) =>
  gpt({ layers: 2, width: 32, heads: 4, vocabulary, context: 640, initialization: { std: 0.3 }, seed: 3, ...options });

/** The tokens of the uncached model, each the likeliest. */
async function greedy(model: ReturnType<typeof small>, ids: readonly number[], steps: number): Promise<number[]> {
  const whole = compile(({ tokens }: { tokens: Tensor }) => ({ logits: model.apply(tokens) }));
  const row = [...ids];
  for (let i = 0; i < steps; i++) {
    const { logits } = await whole({ tokens: NDArray.from(row, "int32", [1, row.length]) });
    const last = logits.toNumbers().slice(-vocabulary);
    row.push(last.indexOf(Math.max(...last)));
  }
  await whole.release();
  return row.slice(ids.length);
}

/** What blocks of few bits stand for. */
function roundedTo(weight: NDArray, bits: WeightBits): NDArray {
  const { packed, scales } = quantizeBlocks(weight, bits);
  const [rows, columns] = weight.shape as [number, number];
  const blocks = Math.ceil(columns / 32);
  const entry = (r: number, c: number) => {
    const at = r * blocks * 32 + c;
    const byte = packed.data[bits === 8 ? at : at >> 1] as number;
    const q = bits === 8 ? byte : at % 2 === 0 ? byte & 15 : byte >> 4;
    return (q - 2 ** (bits - 1)) * (scales.data[r * blocks + (c >> 5)] as number);
  };
  return NDArray.from(
    Array.from({ length: rows * columns }, (_, i) => entry(Math.floor(i / columns), i % columns)),
    "float32",
    weight.shape,
  );
}

const text = (length: number, step = 7) => Array.from({ length }, (_, i) => (i * step + (i >> 3)) % vocabulary);

describe.each([
  ["full attention", {}],
  ["a window of 20 in every second layer", { mask: (layer: number) => slidingWindow(layer % 2 ? 20 : 640) }],
])("prompts longer than a piece, with %s", (_, options) => {
  it("are read in pieces, for rows of different lengths, into a cache that grows", async () => {
    const model = small(options);
    const generator = new Generator(model);
    const prompts = [text(300), text(40, 3), text(523, 11)];
    expect((await generator.generate([text(30, 3)], { maxNewTokens: 3 }))[0]).toEqual(
      await greedy(model, text(30, 3), 3),
    );
    const made = await generator.generate(prompts, { maxNewTokens: 4 });
    for (const [b, prompt] of prompts.entries()) expect(made[b]).toEqual(await greedy(model, prompt, 4));
    // One row again, that grows beyond the first cache (96 + 64 tokens are rounded to 192).
    const grown = await generator.generate([text(96)], { maxNewTokens: 110 });
    expect(grown[0]?.slice(-3)).toEqual(await greedy(model, [...text(96), ...(grown[0] as number[]).slice(0, 107)], 3));
    const back = [...text(90), 1, 2, 3];
    expect((await generator.generate([back], { maxNewTokens: 3 }))[0]).toEqual(await greedy(model, back, 3));
    await generator.release();
  });
});

describe("two texts at once from one generator", () => {
  it("do not disturb each other", async () => {
    const model = small();
    const generator = new Generator(model);
    const one = (prompt: number[]) => generator.generate([prompt], { maxNewTokens: 6 });
    const [a, b] = await Promise.all([one(text(9)), one(text(12, 5))]);
    expect([a?.[0], b?.[0]]).toEqual([await greedy(model, text(9), 6), await greedy(model, text(12, 5), 6)]);
    await generator.release();
  });
});

describe("a model in training", () => {
  it("writes with the weights of now after every number of steps", async () => {
    const model = small({ context: 32 });
    const optimizer = sgd(model.parameters(), { learningRate: 0.5 });
    const step = compile(({ tokens, targets }: { tokens: Tensor; targets: Tensor }) => {
      const loss = crossEntropy(model.apply(tokens), targets);
      optimizer.update(grad(loss, model.parameters()));
      return { loss };
    });
    const generator = new Generator(model);
    const ids = NDArray.from(text(16), "int32", [1, 16]);
    const texts: string[] = [];
    for (const steps of [0, 1, 2, 2]) {
      for (let i = 0; i < steps; i++) await step({ tokens: ids, targets: NDArray.from(text(16, 3), "int32", [1, 16]) });
      const [made] = await generator.generate([text(6)], { maxNewTokens: 8 });
      expect(made).toEqual(await greedy(model, text(6), 8));
      texts.push(String(made));
    }
    expect(new Set(texts).size).toBeGreaterThan(2);
    await generator.release();
    await step.release();
  });
});

describe("weights of few bits", () => {
  const logitsOf = async (model: ReturnType<typeof small>, type: GeneratorType) => {
    const decoder = new VariableDecoder(model, type, {});
    const [logits] = await decoder.logits([text(12)]);
    await decoder.release();
    return [...(logits as Float32Array)];
  };
  const distance = (a: readonly number[], b: readonly number[]) =>
    Math.sqrt(a.reduce((sum, x, i) => sum + (x - (b[i] as number)) ** 2, 0) / b.reduce((sum, x) => sum + x * x, 0));

  // The engine rounds what it multiplies to 8 bits, too, which these sharp scores make 4 % of; with float32 products the
  // two agree to 1e-5.
  it.each([
    ["q8", 8, 0.06],
    ["q4", 4, 0.06],
  ] as const)("%s: gives the logits of a model whose matrices are rounded to %d bits", async (type, bits, most) => {
    const exact = small({ width: 64 });
    const rounded = small({ width: 64 });
    for (const module of rounded.namedModules().values())
      if (module instanceof Linear) module.weight.set(roundedTo(await module.weight.data(), bits));
    const made = await logitsOf(exact, type);
    expect(distance(made, await logitsOf(rounded, "fp32"))).toBeLessThan(most);
    if (bits === 4) expect(distance(made, await logitsOf(exact, "fp32"))).toBeGreaterThan(2 * most);
  });

  it("leave the model as it is, and are refused by other names", async () => {
    const model = small();
    const before = (await model.parameters()[1]?.data())?.toNumbers();
    const generator = new Generator(model, { dtype: "q4" });
    await generator.generate([[1, 2, 3]], { maxNewTokens: 2 });
    expect((await model.parameters()[1]?.data())?.toNumbers()).toEqual(before);
    await generator.release();
    expect(() => new Generator(model, { dtype: "int4" as GeneratorType })).toThrow(
      "expected dtype to be fp32, q8, q4, got int4",
    );
  });
});

/** Generation with a cache: the tokens of the references, and the logits of the uncached model. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { fromPretrained } from "../../src/data/pretrained-files.js";
import { readSafetensors } from "../../src/data/safetensors-file.js";
import { Generator, gpt, sampler } from "../../src/models/index.js";
import { slidingWindow } from "../../src/nn/index.js";
import { compile } from "../../src/runtime/index.js";
import { NDArray, type Tensor } from "../../src/tensor/index.js";

const root = new URL("../golden/checkpoints/", import.meta.url).pathname;
const refused = ["llama-dynamic", "phi3", "phi3-longrope"];
const cases = readdirSync(root).filter(
  (name) => existsSync(join(root, name, "config.json")) && !refused.includes(name),
);

const rowsOf = (array: NDArray): number[][] => {
  const [rows, length] = array.shape as [number, number];
  return Array.from({ length: rows }, (_, r) => array.toNumbers().slice(r * length, (r + 1) * length));
};

describe("greedy generation", () => {
  it.each(cases)("%s: gives the tokens of the reference", async (name) => {
    const generator = new Generator(await fromPretrained(join(root, name)));
    const { tensors } = await readSafetensors(join(root, name, "reference.safetensors"));
    const [prompt, expected] = [tensors.get("prompt") as NDArray, tensors.get("generated") as NDArray];
    const made = await generator.generate(rowsOf(prompt), { maxNewTokens: expected.shape[1] as number });
    expect(made).toEqual(rowsOf(expected));
    await generator.release();
  });
});

describe.each([
  ["full attention", {}],
  ["grouped queries", { kvHeads: 2 }],
  ["a window of 5", { mask: slidingWindow(5) }],
  ["a window in every second layer", { mask: (layer: number) => slidingWindow(layer % 2 ? 5 : 64) }],
  ["learned positions", { positions: "learned" as const }],
  ["ALiBi", { positions: "alibi" as const }],
])("cached logits with %s", (_, options) => {
  const model = gpt({
    layers: 3,
    width: 32,
    heads: 4,
    vocabulary: 50,
    context: 64,
    seed: 3,
    initialization: { std: 0.3 },
    ...options,
  });
  const whole = compile(({ tokens }: { tokens: Tensor }) => ({ logits: model.apply(tokens) }));
  const greedy = async (ids: readonly number[], steps: number): Promise<number[]> => {
    const row = [...ids];
    for (let i = 0; i < steps; i++) {
      const { logits } = await whole({ tokens: NDArray.from(row, "int32", [1, row.length]) });
      const last = logits.toNumbers().slice(-50);
      row.push(last.indexOf(Math.max(...last)));
    }
    return row.slice(ids.length);
  };
  const prompts = [[1, 2, 3], [7], [9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 11, 12, 13, 14, 15, 16, 17, 18, 19]];

  it("choose the uncached model's tokens, for rows of different lengths", async () => {
    const generator = new Generator(model);
    const made = await generator.generate(prompts, { maxNewTokens: 12 });
    for (const [b, prompt] of prompts.entries()) expect(made[b]).toEqual(await greedy(prompt, 12));
    await generator.release();
  });

  it("stay right when a text goes on, starts over or changes in the middle", async () => {
    const generator = new Generator(model);
    const one = async (prompt: number[]) => (await generator.generate([prompt], { maxNewTokens: 6 }))[0];
    const first = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3];
    const answer = await greedy(first, 6);
    expect(await one(first)).toEqual(answer);
    const longer = [...first, ...answer, 8, 8, 8, 8];
    expect(await one(longer)).toEqual(await greedy(longer, 6));
    const changed = [...first.slice(0, 5), 7, 7, 7];
    expect(await one(changed)).toEqual(await greedy(changed, 6));
    expect(await one([2])).toEqual(await greedy([2], 6));
    await generator.release();
  });

  it("go up to the end of the context and no further", async () => {
    const generator = new Generator(model);
    const prompt = Array.from({ length: 60 }, (_, i) => i % 50);
    const [made] = await generator.generate([prompt], { maxNewTokens: 100 });
    expect(made).toEqual(await greedy(prompt, 5));
    await generator.release();
  });
});

describe("weights that change between two texts", () => {
  it("are read again: nothing of the old ones stays in the cache", async () => {
    const model = gpt({ layers: 2, width: 16, heads: 2, vocabulary: 20, context: 32, initialization: { std: 0.5 } });
    const generator = new Generator(model);
    const prompt = [1, 2, 3, 4, 5, 6, 7, 8];
    const before = await generator.generate([prompt], { maxNewTokens: 8 });
    const value = model.model.layers[0]?.mlp.namedVariables().get("down_proj.weight");
    const keys = model.namedVariables().get("model.layers.0.self_attn.k_proj.weight");
    for (const variable of [value, keys])
      variable?.set(
        NDArray.from(
          (await variable.data()).toNumbers().map((w) => -3 * w),
          "float32",
          variable.shape,
        ),
      );
    const after = await generator.generate([prompt], { maxNewTokens: 8 });
    const fresh = new Generator(model);
    expect(after).toEqual(await fresh.generate([prompt], { maxNewTokens: 8 }));
    expect(after).not.toEqual(before);
    await generator.release();
    await fresh.release();
  });
});

describe("a row longer than the context", () => {
  it("goes on when asked, with the older half forgotten", async () => {
    const model = gpt({ layers: 2, width: 16, heads: 2, vocabulary: 20, context: 8, initialization: { std: 0.5 } });
    const whole = compile(({ tokens }: { tokens: Tensor }) => ({ logits: model.apply(tokens) }));
    const row = [1, 2, 3];
    while (row.length < 30) {
      // Starts 0, 4, 8, …: the first that leaves at most eight tokens.
      const start = Math.ceil(Math.max(0, row.length - 8) / 4) * 4;
      const window = row.slice(start);
      const { logits } = await whole({ tokens: NDArray.from(window, "int32", [1, window.length]) });
      const last = logits.toNumbers().slice(-20);
      row.push(last.indexOf(Math.max(...last)));
    }
    const generator = new Generator(model);
    const [made] = await generator.generate([[1, 2, 3]], { maxNewTokens: 27, slide: true });
    expect(made).toEqual(row.slice(3));
    await generator.release();
  });
});

describe("generate", () => {
  const model = gpt({ layers: 1, width: 16, heads: 2, vocabulary: 20, context: 16 });
  const generator = new Generator(model);

  it("ends a row at a stop token and lets the others go on", async () => {
    const [free = []] = await generator.generate([[1]], { maxNewTokens: 6, temperature: 1, seed: 5 });
    const stop = free[2] as number;
    const [made] = await generator.generate([[1]], { maxNewTokens: 6, temperature: 1, seed: 5, stopTokens: [stop] });
    expect(made).toEqual(free.slice(0, free.indexOf(stop) + 1));
  });

  it("gives the same tokens for the same seed, others for another", async () => {
    const run = (seed: number) => generator.generate([[1], [1]], { maxNewTokens: 10, temperature: 1, seed });
    const [a, again, b] = [await run(1), await run(1), await run(2)];
    expect(again).toEqual(a);
    expect(b).not.toEqual(a);
    expect(a[0]).not.toEqual(a[1]);
  });

  it.each([
    [[], "expected at least one prompt"],
    [[[]], "prompt 0 has no token"],
    [[[1], Array(17).fill(1)], "prompt 1 has 17 tokens, the model's context is 16"],
    [[[20]], "token 20, the model's vocabulary ends at 19; is the tokenizer another model's?"],
  ])("refuses %j", async (prompts, message) => {
    await expect(generator.generate(prompts as number[][])).rejects.toThrow(message);
  });
});

describe("sampling", () => {
  const logits = Float32Array.from([2, 1, 0, -1, 3]);
  const frequencies = (options: Parameters<typeof sampler>[0], n = 4000): number[] => {
    const next = sampler({ temperature: 1, ...options });
    const ids = Array.from({ length: n }, (_, step) => next(logits, [], 0, step));
    return [...logits.keys()].map((id) => ids.filter((drawn) => drawn === id).length / n);
  };
  const softmax = (values: readonly number[]): number[] => {
    const weights = values.map(Math.exp);
    const sum = weights.reduce((a, b) => a + b);
    return weights.map((w) => w / sum);
  };
  const close = (actual: readonly number[], expected: readonly number[]) => {
    // Four standard deviations of 4,000 draws.
    for (const [i, p] of expected.entries())
      expect(Math.abs((actual[i] as number) - p)).toBeLessThanOrEqual(4 * Math.sqrt((p * (1 - p)) / 4000) + 1e-12);
  };

  it("draws in proportion to the softmax of logits over temperature", () => {
    close(frequencies({}), softmax([...logits]));
    close(frequencies({ temperature: 2 }), softmax([...logits].map((v) => v / 2)));
  });

  it("keeps the k likeliest, the nucleus, and what is likely enough", () => {
    const none = Number.NEGATIVE_INFINITY;
    close(frequencies({ topK: 2 }), softmax([2, none, none, none, 3]));
    // Shares: 0.64, 0.23, 0.09, …: 0.7 needs two, 0.9 three.
    close(frequencies({ topP: 0.7 }), softmax([2, none, none, none, 3]));
    close(frequencies({ topP: 0.9 }), softmax([2, 1, none, none, 3]));
    close(frequencies({ minP: 0.1 }), softmax([2, 1, none, none, 3]));
  });

  it("makes tokens that have occurred less likely", () => {
    expect(sampler({ repetitionPenalty: 2 })(logits, [4, 4], 0, 0)).toBe(0);
    const negative = Float32Array.from([-1, -1.5]);
    expect(sampler({ repetitionPenalty: 2 })(negative, [0], 0, 0)).toBe(1);
  });

  it.each([
    [{ temperature: -1 }, "temperature at least 0, got -1"],
    [{ topP: 0 }, "topP in (0, 1], got 0"],
    [{ topK: 1.5 }, "topK a whole number"],
    [{ minP: 2 }, "minP in [0, 1]"],
    [{ repetitionPenalty: 0 }, "repetitionPenalty above 0"],
  ])("refuses %j", (options, message) => {
    expect(() => sampler(options)).toThrow(message);
  });

  it("refuses logits that are all NaN", () => {
    expect(() => sampler()(Float32Array.from([Number.NaN]), [], 0, 0)).toThrow("no logit is finite");
  });
});

/** Inner tensors of a model against values computed apart from it. */
import { describe, expect, it } from "vitest";
import { compile, crossEntropy, NDArray, nn, philoxUniform, type Tensor } from "../../src/index.js";
import { inspectable, inspectModel, logitLens, tensorStatistics } from "../../src/inspect/index.js";

const model = nn.gpt({ layers: 3, width: 16, heads: 4, kvHeads: 2, vocabulary: 13, context: 512, positions: "none" });
const tokensOf = (length: number, batch = 1): NDArray =>
  NDArray.from(
    philoxUniform({ seed: 3, site: "inspect" }, batch * length).map((u) => Math.floor(13 * u)),
    "int32",
    [batch, length],
  );
const one = async (query: string, tokens: NDArray | undefined = tokensOf(6)) => {
  const found = await inspectModel(model, tokens, [query]);
  expect(found).toHaveLength(1);
  return (found[0] as (typeof found)[0]).value;
};
const near = (got: readonly number[], expected: readonly number[], tolerance = 1e-5): void => {
  const largest = Math.max(...expected.map(Math.abs));
  expect(got).toHaveLength(expected.length);
  for (const [i, v] of expected.entries())
    expect(Math.abs((got[i] as number) - v)).toBeLessThanOrEqual(tolerance * largest);
};
/** [rows, n] · [m, n]ᵀ on plain numbers. */
const times = (x: readonly number[], w: NDArray): number[] => {
  const [m, n] = w.shape as [number, number];
  return Array.from({ length: (x.length / n) * m }, (_, at) => {
    let sum = 0;
    for (let i = 0; i < n; i++) sum += (x[Math.floor(at / m) * n + i] as number) * w.at((at % m) * n + i);
    return sum;
  });
};

describe("inspectModel", () => {
  it("gives the tensor that a module returns: its input through its weight", async () => {
    const tokens = tokensOf(6);
    const [input, weight, output] = await inspectModel(model, tokens, [
      "model.layers.1.mlp.up_proj:in",
      "model.layers.1.mlp.up_proj:weight",
      "model.layers.1.mlp.up_proj",
    ]);
    expect([input?.kind, weight?.kind, output?.kind]).toEqual(["input", "parameter", "output"]);
    near(output?.value.toNumbers() ?? [], times(input?.value.toNumbers() ?? [], weight?.value as NDArray));
  });

  it("takes globs, operations, parameters beside outputs, and TransformerLens' names", async () => {
    const names = async (query: string) => (await inspectModel(model, tokensOf(4), [query])).map(({ name }) => name);
    expect(await names("model.layers.*.mlp")).toEqual([0, 1, 2].map((l) => `model.layers.${l}.mlp:out`));
    expect(await names("blocks.2.hook_resid_pre")).toEqual(["model.layers.2:in"]);
    expect(await names("model.layers.0.self_attn/softmax")).toEqual(["model.layers.0.self_attn/softmax"]);
    const all = await names("model.layers.0.mlp**");
    expect(all).toEqual(expect.arrayContaining(["model.layers.0.mlp.up_proj.weight", "model.layers.0.mlp:out"]));
  });

  it("gives gradients of outputs and parameters as differences have them", async () => {
    const tokens = tokensOf(7);
    const small = nn.gpt({ layers: 2, width: 8, heads: 2, vocabulary: 13, context: 8, initialization: { std: 0.3 } });
    const targets = NDArray.from([...tokens.toNumbers().slice(1), -100], "int32", [1, 7]);
    const loss = compile(({ tokens: ids, targets: next, shift }: Record<"tokens" | "targets" | "shift", Tensor>) => ({
      loss: crossEntropy(small.readout((small.hiddenStates(ids)[2] as Tensor).add(shift)), next),
    }));
    const [output, bias] = await inspectModel(small, tokens, ["grad(model.layers.1)", "model.layers.1:grad"]);
    expect(output?.name).toBe("grad(model.layers.1:out)");
    expect(bias?.value.toNumbers()).toEqual(output?.value.toNumbers());
    const at = async (i: number, h: number) => {
      const shift = Array.from({ length: 7 * 8 }, (_, j) => (j === i ? h : 0));
      return (await loss({ tokens, targets, shift: NDArray.from(shift, "float32", [1, 7, 8]) })).loss.item();
    };
    for (const i of [0, 13, 40]) {
      const slope = ((await at(i, 0.02)) - (await at(i, -0.02))) / 0.04;
      expect(Math.abs(slope - (output?.value.at(i) as number))).toBeLessThan(2e-3 * (Math.abs(slope) + 0.05));
    }
  });

  it("gives a parameter's gradient as differences have it", async () => {
    const small = nn.gpt({ layers: 1, width: 8, heads: 2, vocabulary: 13, context: 8 });
    const tokens = tokensOf(7);
    const path = "model.layers.0.mlp.down_proj.weight";
    const [gradient] = await inspectModel(small, tokens, [`grad(${path})`]);
    const weight = small.namedVariables().get(path);
    const before = (await weight?.data()) as NDArray;
    const targets = NDArray.from([...tokens.toNumbers().slice(1), -100], "int32", [1, 7]);
    const program = compile(({ tokens: ids, targets: next }: Record<"tokens" | "targets", Tensor>) => ({
      loss: crossEntropy(small.apply(ids), next),
    }));
    const at = async (i: number, h: number) => {
      weight?.set(
        NDArray.from(
          before.toNumbers().map((v, j) => (j === i ? v + h : v)),
          "float32",
          before.shape,
        ),
      );
      return (await program({ tokens, targets })).loss.item();
    };
    for (const i of [0, 9, 50]) {
      const slope = ((await at(i, 0.02)) - (await at(i, -0.02))) / 0.04;
      expect(Math.abs(slope - (gradient?.value.at(i) as number))).toBeLessThan(2e-3 * (Math.abs(slope) + 0.05));
    }
  });

  it.each([5, 300])("joins the attention weights of %i tokens, computed in pieces where they are many", async (T) => {
    const tokens = tokensOf(T, 2);
    const [map, q, k] = await inspectModel(model, tokens, [
      "attention(model.layers.1)",
      "model.layers.1.self_attn.q_proj",
      "model.layers.1.self_attn.k_proj",
    ]);
    expect(map?.value.shape).toEqual([2, 4, T, T]);
    const dot = (b: number, h: number, i: number, j: number): number => {
      let sum = 0;
      for (let c = 0; c < 4; c++)
        sum +=
          (q?.value.at((b * T + i) * 16 + 4 * h + c) as number) *
          (k?.value.at((b * T + j) * 8 + 4 * Math.floor(h / 2) + c) as number);
      return sum / 2;
    };
    for (const [b, h, i] of [
      [0, 0, 0],
      [1, 3, T - 1],
      [1, 2, Math.floor(T / 2)],
    ] as const) {
      const weights = Array.from({ length: T }, (_, j) => (j <= i ? Math.exp(dot(b, h, i, j)) : 0));
      const total = weights.reduce((x, y) => x + y, 0);
      const start = ((b * 4 + h) * T + i) * T;
      near(
        map?.value.toNumbers().slice(start, start + T) ?? [],
        weights.map((w) => w / total),
      );
    }
  });

  it("reads the stream after every layer with the head: the last reading is the model's own", async () => {
    const tokens = tokensOf(6);
    const { token, probability } = await logitLens(model, tokens);
    expect(token.shape).toEqual([4, 1, 6]);
    const logits = (await one(":out", tokens)).toNumbers();
    for (let t = 0; t < 6; t++) {
      const row = logits.slice(13 * t, 13 * (t + 1));
      const best = row.indexOf(Math.max(...row));
      expect(token.at(18 + t)).toBe(best);
      const total = row.reduce((sum, v) => sum + Math.exp(v - (row[best] as number)), 0);
      expect(probability.at(18 + t)).toBeCloseTo(1 / total, 5);
    }
  });

  it("takes a part by an index", async () => {
    const whole = await one("model.norm");
    expect((await one("model.norm[0, -1]")).toNumbers()).toEqual(whole.toNumbers().slice(80));
    const part = await one("model.norm[:, 1:3, 2]");
    expect(part.shape).toEqual([1, 2]);
    expect(part.toNumbers()).toEqual([whole.at(18), whole.at(34)]);
    await expect(one("model.norm[0, 6]")).rejects.toThrow(
      "model.norm:out[0, 6]: 6 is outside axis 1; its shape is [1, 6, 16]",
    );
    await expect(one("model.norm[x]")).rejects.toThrow('"x" is no index');
    await expect(one("model.norm[0,0,0,0]")).rejects.toThrow("it has 3 axes, not 4");
  });

  it("reads parameters without a text, and says what is wrong with other queries", async () => {
    expect((await inspectModel(model, undefined, ["model.norm:weight"]))[0]?.value.toNumbers()).toEqual(
      Array(16).fill(1),
    );
    const ask = (query: string) => inspectModel(model, undefined, [query]);
    await expect(ask("model.layers.0.mpl")).rejects.toThrow('did you mean "model.layers.0.mlp"?');
    await expect(ask("grad(model.layer.0.mlp)")).rejects.toThrow('did you mean "model.layers.0.mlp"?');
    await expect(ask("attention(model.layers.7)")).rejects.toThrow('did you mean "model.layers.0"?');
    await expect(ask("model.norm")).rejects.toThrow("it depends on the input; give a text");
    await expect(ask(" ")).rejects.toThrow("expected a path such as");
  });

  it("lists what there is", () => {
    const all = inspectable(model, 5);
    const named = (name: string) => all.find((point) => point.name === name);
    expect(named("model.layers.2.mlp:out")).toMatchObject({ kind: "output", shape: [1, 5, 16], dtype: "float32" });
    expect(named("model.embed_tokens.weight")).toMatchObject({ kind: "parameter", shape: [13, 16] });
    expect(named("model.layers.0.self_attn/softmax")).toMatchObject({ kind: "operation", shape: [1, 2, 10, 5] });
  });
});

describe("tensorStatistics", () => {
  it("of numbers known by hand", () => {
    expect(tensorStatistics(NDArray.from([0, 2, -4, 2]))).toEqual({
      count: 4,
      mean: 0,
      std: Math.sqrt(6),
      maximum: 4,
      norm: Math.sqrt(24),
      zeros: 0.25,
      outliers: 0,
      kurtosis: expect.closeTo(288 / 4 / 36, 12),
      nonFinite: 0,
    });
  });

  it("counts what is not finite and describes the rest; one value far off is an outlier", () => {
    const values = [
      ...Array(99)
        .fill(0)
        .map((_, i) => (i % 2 ? 1 : -1)),
      100,
      Number.NaN,
      Number.POSITIVE_INFINITY,
    ];
    const found = tensorStatistics(NDArray.from(values));
    expect(found).toMatchObject({ count: 102, nonFinite: 2, maximum: 100, outliers: 1 / 102 });
    expect(found.kurtosis).toBeGreaterThan(50);
    expect(tensorStatistics(NDArray.from([Number.NaN]))).toMatchObject({ nonFinite: 1, mean: Number.NaN });
  });
});

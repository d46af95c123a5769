import { describe, expect, it } from "vitest";
import { readSafetensors } from "../../src/data/safetensors-file.js";
import { compile, grad, inference, NDArray, nn, optim, type Tensor, tensor, training } from "../../src/index.js";
import { GoldenCase, relativeError } from "../../src/studies/golden/case.js";
import { namedGradients, runOnce } from "../../src/studies/golden/run-once.js";
import { normalArray } from "../../src/tensor/index.js";
import { goldenPath } from "../support/golden.js";

const file = await readSafetensors(goldenPath("recurrent/pytorch.safetensors"));
const kinds = { RNN: nn.rnn, LSTM: nn.lstm, GRU: nn.gru } as const;
const plainAndNormalized = Object.values(kinds).flatMap((make) => [
  [make(3, 4).constructor.name, (options = {}) => make(3, 4, options)] as const,
  [`normalised ${make(3, 4).constructor.name}`, (options = {}) => make(3, 4, { layerNorm: true, ...options })] as const,
]);
const draw = (site: string, ...shape: number[]) => normalArray({ seed: 3, site }, shape);

describe("a plain recurrent layer is PyTorch's", () => {
  it.each(Object.entries(file.metadata))("%s: outputs, last states, gradients", async (name, text) => {
    const { kind, num_layers: layers, ...options } = JSON.parse(text) as { kind: "LSTM"; num_layers?: number };
    const mine = [...file.tensors].filter(([key]) => key.startsWith(`${name}.`));
    const reference = new GoldenCase(new Map(mine.map(([key, value]) => [key.slice(name.length + 1), value])), {});
    const layer = kinds[kind](4, 6, { layers: layers ?? 1, ...options });
    layer.loadStateDict(reference.takeAll("weights."));
    const feeds = Object.fromEntries(
      ["x", "h0", "c0"].filter((key) => reference.has(key)).map((key) => [key, reference.take(key)]),
    );
    const lengths = reference.has("lengths") ? reference.take("lengths").toNumbers() : [5, 5, 5];
    const real = NDArray.from(
      lengths.map((n) => Array.from({ length: 5 }, (_, t) => t < n)),
      "bool",
    );
    const weights = tensor(reference.take("loss_weights"));
    const results = await runOnce(feeds, (inputs) => {
      const { x, h0, c0 } = inputs as { x: Tensor; h0: Tensor; c0?: Tensor };
      const mask = reference.has("lengths") ? tensor(real) : undefined;
      const { outputs: kept, h, c } = layer.apply(x, { h0, c0, mask });
      const outputs = kept.mul(tensor(real).cast("float32").unsqueeze(-1));
      const loss = [weights.mul(outputs), h, c].reduce((sum: Tensor | undefined, part) => {
        return part ? (sum?.add(part.sum()) ?? part.sum()) : sum;
      }, undefined) as Tensor;
      return { outputs, h, ...(c && { c }), ...namedGradients(loss, layer, inputs) };
    });
    for (const [key, value] of Object.entries(results)) reference.compare(key, value);
    expect(reference.unused).toEqual([]);
    expect(reference.checks.filter(({ error, tolerance }) => !(error <= tolerance))).toEqual([]);
  });
});

describe.each(plainAndNormalized)("%s", (_, make) => {
  const x = draw("x", 2, 5, 3);
  const outputsOf = async (layer: nn.Recurrent, feeds: Record<string, NDArray>) =>
    runOnce(feeds, ({ x, mask, h0, c0 }) => {
      const { outputs, h, c } = layer.apply(x as Tensor, { mask, h0, c0 });
      return { outputs, h, ...(c && { c }) };
    });

  it("reads a sequence in two parts as in one", async () => {
    const layer = make({ layers: 2 });
    const whole = await outputsOf(layer, { x });
    const { outputs, h } = await runOnce({ x }, ({ x }) => {
      const first = layer.apply((x as Tensor).slice({ axis: 1, end: 2 }));
      const { outputs, h } = layer.apply((x as Tensor).slice({ axis: 1, start: 2 }), { h0: first.h, c0: first.c });
      return { outputs, h };
    });
    const ends = await runOnce({ y: whole.outputs as NDArray }, ({ y }) => ({
      y: (y as Tensor).slice({ axis: 1, start: 2 }),
    }));
    expect(relativeError((outputs as NDArray).toNumbers(), (ends.y as NDArray).toNumbers())).toBeLessThan(1e-5);
    expect(relativeError((h as NDArray).toNumbers(), (whole.h as NDArray).toNumbers())).toBeLessThan(1e-5);
  });

  it("keeps the state at masked steps, holes too, whatever stands there", async () => {
    const layer = make({ bidirectional: true });
    const mask = NDArray.from([Array(5).fill(false), [true, false, true, false, false]], "bool");
    const h0 = draw("h", 2, 2, 4);
    const { outputs, h } = await outputsOf(layer, { x, mask, h0 });
    const nonsense = NDArray.from(
      x.toNumbers().map((v, i) => (mask.at(Math.floor(i / 3)) ? v : 1e6)),
      "float32",
      x.shape,
    );
    expect((await outputsOf(layer, { x: nonsense, mask, h0 })).outputs?.toNumbers()).toEqual(outputs?.toNumbers());
    const [forward, backward] = [h0.toNumbers().slice(0, 4), h0.toNumbers().slice(8, 12)];
    expect(outputs?.toNumbers().slice(0, 40)).toEqual(
      Array(5)
        .fill([...forward, ...backward])
        .flat(),
    );
    // The second row is a sequence of two steps.
    const short = NDArray.from(
      [0, 2].flatMap((t) => x.toNumbers().slice(15 + 3 * t, 18 + 3 * t)),
      "float32",
      [1, 2, 3],
    );
    const start = NDArray.from([...h0.toNumbers().slice(4, 8), ...h0.toNumbers().slice(12, 16)], "float32", [2, 1, 4]);
    const alone = (await outputsOf(layer, { x: short, h0: start })).h?.toNumbers() as number[];
    const ours = h?.toNumbers() as number[];
    expect(relativeError([...ours.slice(4, 8), ...ours.slice(12, 16)], alone)).toBeLessThan(1e-5);
  });

  it("gives a case the same alone as in a batch", async () => {
    const layer = make();
    const one = NDArray.from(x.toNumbers().slice(0, 15), "float32", [1, 5, 3]);
    const [both, alone] = [await outputsOf(layer, { x }), await outputsOf(layer, { x: one })];
    expect(
      relativeError(alone.outputs?.toNumbers() as number[], both.outputs?.toNumbers().slice(0, 20) as number[]),
    ).toBeLessThan(1e-6);
  });

  it("learns its first state, and leaves frozen weights alone", async () => {
    const layer = make({ learnInitialState: true });
    nn.freeze(layer, "weight_ih_l0");
    const before = await layer.stateDict();
    const optimizer = optim.sgd(layer.parameters(), { learningRate: 1e-3 });
    await compile(({ x }: { x: Tensor }) => {
      optimizer.update(grad(layer.apply(x).outputs.square().sum(), layer.parameters()));
      return {};
    })({ x });
    const after = await layer.stateDict();
    const moved = [...before].filter(([name, value]) => `${value.toNumbers()}` !== `${after.get(name)?.toNumbers()}`);
    expect(before.get("h_0")?.toNumbers()).toEqual([0, 0, 0, 0]);
    expect(moved.map(([name]) => name)).toEqual(expect.arrayContaining(["h_0", "weight_hh_l0"]));
    expect(moved.map(([name]) => name)).not.toContain("weight_ih_l0");
  });

  it("is copied whole", async () => {
    const layer = make({ layers: 2, bidirectional: true });
    const copy = await nn.clone(layer);
    expect([...copy.namedVariables().keys()]).toEqual([...layer.namedVariables().keys()]);
    expect((await outputsOf(copy, { x })).outputs?.toNumbers()).toEqual(
      (await outputsOf(layer, { x })).outputs?.toNumbers(),
    );
  });
});

describe("layer-normalised cells", () => {
  const x = draw("x", 2, 5, 3);
  const outputsOf = async (layer: nn.Recurrent) =>
    (await runOnce({ x }, ({ x }) => ({ y: layer.apply(x as Tensor).outputs }))).y?.toNumbers() as number[];
  const change = async (layer: nn.Recurrent, name: string, by: (v: number) => number) => {
    const variable = layer.namedVariables().get(name);
    const values = (await variable?.data()) as NDArray;
    variable?.set(NDArray.from(values.toNumbers().map(by), "float32", values.shape));
  };

  it.each([nn.lstm(3, 8, { layerNorm: true, eps: 1e-10 }), nn.gru(3, 8, { layerNorm: true, eps: 1e-10 })])(
    "$constructor.name does not react to the size of its matrices",
    async (layer) => {
      const before = await outputsOf(layer);
      await change(layer, "weight_ih_l0", (w) => 3 * w);
      await change(layer, "weight_hh_l0", (w) => 7 * w);
      expect(relativeError(await outputsOf(layer), before)).toBeLessThan(1e-4);
    },
  );

  it.each([
    [nn.lstm, ["norm_ih_l0.bias"], 16],
    [nn.gru, ["norm_ih_l0.bias", "norm_in_l0.bias"], 8],
  ] as const)("with inputBias: false the bias is one after the norm", async (make, norms, cut) => {
    const [after, inside] = [make(3, 4, { layerNorm: true, inputBias: false }), make(3, 4, { layerNorm: true })];
    const state = await after.stateDict();
    const bias = draw("bias", make === nn.lstm ? 16 : 12);
    after.loadStateDict(new Map([...state, ["bias_ih_l0", bias]]));
    const parts = [bias.toNumbers().slice(0, cut), bias.toNumbers().slice(cut)];
    inside.loadStateDict(
      new Map([...state, ...norms.map((name, i) => [name, NDArray.from(parts[i] as number[])] as const)]),
    );
    expect(relativeError(await outputsOf(inside), await outputsOf(after))).toBeLessThan(1e-5);
    inside.loadStateDict(new Map([...state, ["bias_ih_l0", bias]]));
    expect(relativeError(await outputsOf(inside), await outputsOf(after))).toBeGreaterThan(1e-2);
  });

  it("carries the cell as it is: only the copy for the output is normalised", async () => {
    const layer = nn.lstm(3, 4, { layerNorm: true });
    const cells = async () => (await runOnce({ x }, ({ x }) => ({ c: layer.apply(x as Tensor).c as Tensor }))).c;
    const before = await cells();
    await change(layer, "norm_c_l0.bias", (b) => b + 1);
    const first = async () => ((await outputsOf(layer))[0] as number) ** 2;
    expect(await first()).toBeGreaterThan(0);
    nn.freeze(layer);
    const one = draw("one", 1, 1, 3);
    const single = await runOnce({ one }, ({ one }) => ({ c: layer.apply(one as Tensor).c as Tensor }));
    await change(layer, "norm_c_l0.bias", (b) => b - 3);
    const again = await runOnce({ one }, ({ one }) => ({ c: layer.apply(one as Tensor).c as Tensor }));
    expect(again.c?.toNumbers()).toEqual(single.c?.toNumbers()); // after one step the cell has not seen the norm
    expect((await cells())?.toNumbers()).not.toEqual(before?.toNumbers()); // later ones have, through h
  });
});

describe("first values", () => {
  it.each([
    [5, 5],
    [3, 6],
    [6, 3],
  ])("orthogonal(%d, %d): its shorter side is orthonormal", (rows, columns) => {
    const w = nn.orthogonal(rows, columns, { seed: 1, site: "w" }).toArray() as number[][];
    const vectors = rows <= columns ? w : Array.from({ length: columns }, (_, j) => w.map((row) => row[j] as number));
    for (const [i, u] of vectors.entries())
      for (const [j, v] of vectors.entries())
        expect(u.reduce((sum, x, k) => sum + x * (v[k] as number), 0)).toBeCloseTo(i === j ? 1 : 0, 6);
  });

  it("depend on the seed and the path alone, and put the recurrent blocks in place", async () => {
    const [a, b] = [nn.lstm(3, 4, { layers: 2, forgetBias: 1 }), nn.lstm(3, 4, { layers: 2, forgetBias: 1 })];
    const values = async (layer: nn.LSTM, seed: number) => {
      nn.initializeRecurrent(layer, { seed, scale: 2 });
      return layer.stateDict();
    };
    const state = await values(a, 1);
    expect(await values(b, 1)).toEqual(state);
    expect(await values(b, 2)).not.toEqual(state);
    const u = ((state.get("weight_hh_l1") as NDArray).toArray() as number[][]).slice(4, 8);
    for (const row of u) expect(row.reduce((sum, v) => sum + v * v, 0)).toBeCloseTo(4, 5);
    expect(state.get("bias_ih_l0")?.toNumbers()).toEqual([0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
  });

  it("forgetBias of a normalised LSTM stands behind the norm", async () => {
    const state = await nn.lstm(3, 4, { layerNorm: true, forgetBias: 2 }).stateDict();
    expect(state.get("norm_ih_l0.bias")?.toNumbers().slice(3, 9)).toEqual([0, 2, 2, 2, 2, 0]);
    expect(new Set(state.get("bias_ih_l0")?.toNumbers())).toEqual(new Set([0]));
  });
});

it("dropout is between layers, in training alone", async () => {
  const x = draw("x", 2, 5, 3);
  const [one, two] = [1, 2].map((layers) => nn.gru(3, 8, { layers, dropout: 0.5 })) as [nn.GRU, nn.GRU];
  const read = async (layer: nn.GRU, mode: typeof training) =>
    (await runOnce({ x }, ({ x }) => ({ y: mode(() => layer.apply(x as Tensor).outputs) }))).y?.toNumbers();
  expect(await read(one, training)).toEqual(await read(one, inference));
  expect(await read(two, training)).not.toEqual(await read(two, inference));
});

describe("refuses", () => {
  const x = tensor(draw("x", 2, 5, 3));
  it.each<[string, () => unknown, string]>([
    ["a hidden size of 0", () => nn.rnn(3, 0), "expected hiddenSize to be a positive whole number, got 0"],
    ["half a layer", () => nn.gru(3, 4, { layers: 0.5 }), "expected layers to be a positive whole number"],
    ["another f", () => nn.rnn(3, 4, { nonlinearity: "gelu" as "relu" }), 'expected nonlinearity "tanh" or "relu"'],
    ["dropout of 1", () => nn.lstm(3, 4, { dropout: 1 }), "expected dropout in [0, 1), got 1"],
    ["a norm over one number", () => nn.lstm(3, 1, { layerNorm: true }), "one element minus its own mean"],
    ["an ε of 0", () => nn.gru(3, 4, { layerNorm: true, eps: 0 }), "expected a positive eps"],
    ["forgetBias without biases", () => nn.lstm(3, 4, { bias: false, forgetBias: 1 }), "forgetBias needs biases"],
    ["a scale of 0", () => nn.initializeRecurrent(nn.rnn(3, 4), { scale: 0 }), "expected a positive scale, got 0"],
    ["a matrix without rows", () => nn.orthogonal(0, 2, { seed: 0, site: "" }), "expected positive whole sizes"],
    ["another width", () => nn.rnn(4, 4).apply(x), "RNN: expected [batch, time, 4], got [2, 5, 3]"],
    ["no batch", () => nn.rnn(3, 4).apply(x.slice({ end: 1 }).squeeze(0)), "add an axis of one sample"],
    ["no steps", () => nn.rnn(3, 4).apply(x.slice({ axis: 1, end: 0 })), "the sequence has no steps"],
    [
      "a mask with time first",
      () => nn.rnn(3, 4).apply(x, { mask: tensor(NDArray.zeros([5, 2]).cast("bool")) }),
      "expected a mask [batch, time] = [2, 5], got [5, 2]; transpose it",
    ],
    [
      "a mask of floats",
      () => nn.rnn(3, 4).apply(x, { mask: tensor(NDArray.zeros([2, 5])) }),
      "expected a mask of bool",
    ],
    [
      "a state of another shape",
      () => nn.gru(3, 4).apply(x, { h0: tensor(NDArray.zeros([2, 4])) }),
      "expected h0 [layers · directions, batch, hidden] = [1, 2, 4], got [2, 4]",
    ],
    ["a cell for a GRU", () => nn.gru(3, 4).apply(x, { c0: x }), "c0 is for an LSTM"],
  ])("%s", (_, run, message) => {
    expect(run).toThrow(message);
  });
});

import { beforeAll, describe, expect, it } from "vitest";
import { compile, crossEntropy, grad, NDArray, nn, optim, philoxNormal, type Tensor } from "../../src/index.js";
import { runOnce } from "../../src/studies/golden/run-once.js";

const options: nn.GPTOptions = {
  layers: 2,
  width: 12,
  heads: 3,
  vocabulary: 17,
  context: 10,
  norm: "layer",
  mlp: "gelu-tanh",
  positions: "learned",
  bias: true,
  tieEmbeddings: true,
};
const tokens = NDArray.from(
  Array.from({ length: 2 * 7 }, (_, i) => (i * 5) % 17),
  "int32",
  [2, 7],
);

/** Every variable random: gains around 1, and all weights with a mean that is deliberately not 0. */
function randomModel(changes: Partial<nn.GPTOptions> = {}): nn.GPT {
  const model = nn.gpt({ ...options, ...changes });
  for (const [path, variable] of model.namedVariables()) {
    const centre = /norm\.weight$/.test(path) ? 1 : 0.2;
    const values = philoxNormal({ seed: 3, site: path }, variable.size).map((z) => centre + 0.4 * z);
    variable.set(new NDArray(values, variable.shape, "float32"));
  }
  return model;
}

async function outputs(...models: nn.GPT[]): Promise<NDArray[]> {
  const results = await runOnce({ tokens }, ({ tokens: t }) =>
    Object.fromEntries(models.map((model, i) => [`y${i}`, model.apply(t as Tensor)])),
  );
  return models.map((_, i) => results[`y${i}`] as NDArray);
}

const relative = (a: NDArray, b: NDArray): number =>
  Math.max(...a.toNumbers().map((x, i) => Math.abs(x - b.at(i)))) / Math.max(...b.toNumbers().map(Math.abs));

const forms: readonly [string, Partial<nn.GPTOptions>][] = [
  ["GPT-2: affine norms, biases, a tied head", {}],
  ["no biases and an untied head", { bias: false, tieEmbeddings: false, norm: (w) => nn.layerNorm(w) }],
  ["norms without gain", { norm: (w) => nn.layerNorm(w, { affine: false }) }],
  ["gated MLP, rotary positions, grouped queries", { mlp: "swiglu", positions: "rotary", heads: 6, kvHeads: 2 }],
  ["fixed sinusoidal positions", { positions: "sinusoidal" }],
  ["a norm on the embeddings", { embedNorm: true }],
  ["a norm on the embeddings and an untied head", { embedNorm: true, tieEmbeddings: false }],
  ["normalised queries and keys", { qkNorm: true }],
  ["LayerNorm Scaling", { placement: "lns" }],
  ["dropout, which inference does not see", { dropout: 0.1 }],
];

describe.each(forms)("converting %s", (_, changes) => {
  it("to Pre-RMSNorm and Pre-CRMSNorm leaves the outputs", async () => {
    const model = randomModel(changes);
    const [rms, crms] = [await nn.toPreRMSNorm(model), await nn.toPreCRMSNorm(model)];
    const [y, r, c] = (await outputs(model, rms.model, crms.model)) as [NDArray, NDArray, NDArray];
    expect(relative(r, y)).toBeLessThan(1e-5);
    expect(relative(c, y)).toBeLessThan(1e-5);
    expect(rms.report.difference?.relative).toBeLessThan(1e-5);
    const norms = (converted: nn.GPT, kind: string) =>
      [...converted.namedModules()].filter(
        ([path, m]) => m.constructor.name === kind && !/[qk]_norm|embed_norm/.test(path),
      ).length;
    expect(norms(rms.model, "RMSNorm")).toBe(5);
    expect(norms(crms.model, "CRMSNorm")).toBe(5);
  });

  it("to Pre-RMSNorm with gains left in place keeps the outputs and the tied head", async () => {
    const model = randomModel(changes);
    const { model: converted, report } = await nn.toPreRMSNorm(model, { foldAffine: false });
    const [y, r] = (await outputs(model, converted)) as [NDArray, NDArray];
    expect(relative(r, y)).toBeLessThan(1e-5);
    expect(report.untied).toBe(false);
    expect(report.folded).toEqual([]);
    expect(converted.lm_head === undefined).toBe(model.lm_head === undefined);
  });

  it("leaves the original untouched", async () => {
    const model = randomModel(changes);
    const before = await model.stateDict();
    await nn.toPreCRMSNorm(model);
    const after = await model.stateDict();
    expect([...after.keys()]).toEqual([...before.keys()]);
    for (const [path, value] of before) expect(after.get(path)?.data).toEqual(value.data);
  });
});

describe("the conversion", () => {
  let model: nn.GPT;
  beforeAll(() => {
    model = randomModel();
  });

  it("reports what it did", async () => {
    const { report } = await nn.toPreRMSNorm(model);
    expect(report.untied).toBe(true);
    expect(report.folded).toEqual([
      "model.layers.0.input_layernorm",
      "model.layers.0.post_attention_layernorm",
      "model.layers.1.input_layernorm",
      "model.layers.1.post_attention_layernorm",
      "model.norm",
    ]);
    expect(report.recentred).toContain("model.embed_positions.weight");
    // Five gains and biases go; the head gets a matrix and a bias of its own.
    expect(report.parameters.after - report.parameters.before).toBe(-5 * 2 * 12 + 17 * 12 + 17);
  });

  it("has something to do: RMSNorm without recentring changes the outputs by far", async () => {
    const control = randomModel();
    nn.rewrite(control, (module) => (module instanceof nn.LayerNorm ? nn.rmsNorm(12, { eps: 1e-5 }) : undefined));
    const [y, z] = (await outputs(model, control)) as [NDArray, NDArray];
    expect(relative(z, y)).toBeGreaterThan(1e-2);
  });

  it("gives hidden states without their mean, and decompress gives those of the compressed stream", async () => {
    const [{ model: rms }, { model: crms }] = [await nn.toPreRMSNorm(model), await nn.toPreCRMSNorm(model)];
    const last = (m: nn.GPT, t: Tensor) => m.hiddenStates(t).at(-1) as Tensor;
    const { a, b, c } = await runOnce({ tokens }, ({ tokens: t }) => {
      const x = last(model, t as Tensor);
      return {
        a: x.sub(x.mean(-1, { keepDims: true })),
        b: last(rms, t as Tensor),
        c: nn.decompress(last(crms, t as Tensor)),
      };
    });
    expect(relative(b as NDArray, a as NDArray)).toBeLessThan(1e-5);
    expect(relative(c as NDArray, a as NDArray)).toBeLessThan(1e-5);
  });

  it("refuses when the outputs differ by more than allowed", async () => {
    await expect(nn.toPreRMSNorm(model, { tolerance: 0 })).rejects.toThrow(
      /differs by .* of its largest output; allowed: 0/,
    );
    expect((await nn.toPreRMSNorm(model, { tolerance: 0, verify: false })).report.difference).toBeUndefined();
  });

  const wrapped = (path: string, wrap: (module: nn.AnyModule) => nn.AnyModule) =>
    nn.rewrite(randomModel(), (module, here) => (here === path ? wrap(module) : undefined));
  class Adapter extends nn.Module {
    constructor(readonly base: nn.Module) {
      super();
    }
    override forward(x: Tensor): Tensor {
      return this.base.apply(x);
    }
  }
  it.each([
    ["Post-LN", () => randomModel({ placement: "post" }), 'model.layers.0 is "post": only in Pre-LN blocks'],
    ["Peri-LN", () => randomModel({ placement: "peri" }), 'model.layers.0 is "peri"'],
    ["Mix-LN", () => randomModel({ placement: nn.mix({ postLayers: 1 }) }), 'model.layers.0 is "post"'],
    [
      "a model that has RMSNorm already",
      () => randomModel({ norm: "rms" }),
      "is a RMSNorm already: there is no LayerNorm to convert",
    ],
    [
      "a stream read without a norm",
      () => randomModel({ finalNorm: false }),
      "the head reads the stream without a norm",
    ],
    [
      "an adapter on a writer",
      () => wrapped("model.layers.1.self_attn.o_proj", (m) => new Adapter(m as nn.Module)),
      "model.layers.1.self_attn.o_proj is a Adapter with base.weight, base.bias, which writes to the stream beside a plain weight; merge it first",
    ],
    [
      "an unknown attention",
      () => wrapped("model.layers.0.self_attn", (m) => new Adapter(m as nn.Module)),
      "model.layers.0.self_attn is a Adapter; expected Attention",
    ],
    [
      "a norm of another kind",
      () => wrapped("model.norm", (m) => new Adapter(m as nn.Module)),
      "model.norm is a Adapter; only LayerNorm removes the mean",
    ],
    ["a norm over two axes", () => randomModel({ norm: (w) => nn.layerNorm([7, w]) }), "normalises over 2 axes"],
    [
      "a model that does not name its stream",
      () => new nn.Linear(4, 4) as unknown as nn.GPT,
      "Linear does not say who reads and writes its residual stream",
    ],
  ])("refuses %s", async (_, make, message) => {
    await expect(nn.toPreRMSNorm(make())).rejects.toThrow(message);
    await expect(nn.toPreCRMSNorm(make())).rejects.toThrow(message);
  });

  it("refuses a stream of width 1", async () => {
    const one = nn.gpt({ ...options, width: 1, heads: 1, norm: "rms", positions: "none" });
    await expect(nn.toPreRMSNorm(one)).rejects.toThrow("width 1");
  });
});

describe("training through RMSNorms", () => {
  const targets = NDArray.from(
    tokens.toNumbers().map((_, i, all) => all[(i + 1) % all.length] as number),
    "int32",
    [2, 7],
  );

  async function train(model: nn.GPT, steps: number): Promise<number[]> {
    const parameters = model.parameters();
    const optimizer = optim.adamW(parameters, { learningRate: 3e-3, weightDecay: 0.1 });
    const step = compile(({ t, next }: { t: Tensor; next: Tensor }) => {
      const loss = crossEntropy(model.apply(t), next);
      optimizer.update(grad(loss, parameters));
      return { loss };
    });
    const losses: number[] = [];
    for (let i = 0; i < steps; i++) losses.push((await step({ t: tokens, next: targets })).loss.item());
    await step.release();
    return losses;
  }

  it.each([{}, { embedNorm: true }, { positions: "rotary", tieEmbeddings: false }] as const)(
    "follows the Pre-LN model for 50 steps of AdamW (%o)",
    async (changes) => {
      const start = { seed: 7, initialization: { std: 0.2 } };
      const plain = await train(nn.gpt({ ...options, ...changes, ...start }), 50);
      const through = await train(nn.trainAsPreRMSNorm(nn.gpt({ ...options, ...changes, ...start })), 50);
      expect(plain.at(-1)).toBeLessThan(0.7 * (plain[0] as number));
      for (const [i, loss] of plain.entries()) expect(through[i]).toBeCloseTo(loss, 4);
    },
  );

  it("refuses dropout on what is added to the stream", () => {
    expect(() => nn.trainAsPreRMSNorm(randomModel({ dropout: 0.1 }))).toThrow(
      "dropout 0.1 on a branch breaks the zero mean",
    );
  });
});

/** Whether a variable belongs to an input norm, or to the final one, by the placement of its block. */
function isInputNorm(model: nn.GPT, path: string): boolean {
  const [, layer, name] = /^model\.layers\.(\d+)\.(\w+)\./.exec(path) ?? [];
  if (layer === undefined) return path.startsWith("model.norm.");
  const { attention, mlp } = model.placements[Number(layer)] as nn.Placement;
  return name === attention.input || name === mlp.input;
}

describe("foldings", () => {
  it("of LayerNorm Scaling give an ordinary Pre-LN model with the same function", async () => {
    const model = randomModel({ placement: "lns", layers: 4 });
    const folded = await nn.foldNormScale(model);
    const [y, z] = (await outputs(model, folded)) as [NDArray, NDArray];
    expect(relative(z, y)).toBeLessThan(1e-5);
    expect(folded.placements.map(({ kind, mlp }) => [kind, mlp.scale])).toEqual(Array(4).fill(["pre", undefined]));
    const plain = nn.gpt({ ...options, layers: 4, placement: "pre" });
    plain.loadStateDict(await folded.stateDict());
    expect((await outputs(plain))[0]?.data).toEqual(z.data);
    expect(model.placements[3]?.mlp.scale).toBe(0.5);
  });

  it("of a scale into a norm without gain are refused", async () => {
    const model = randomModel({ placement: "lns", norm: (w) => nn.layerNorm(w, { affine: false }) });
    await expect(nn.foldNormScale(model)).rejects.toThrow("has no gain to take the scale");
  });

  it.each([
    {},
    { placement: "lns" },
    { norm: "rms" },
    { placement: "peri", embedNorm: false },
    { placement: "output" },
    { norm: (w: number) => nn.rmsNorm(w, { gainOffset: 1 }) },
  ] as const)("of input norms leave norms without gain (%o)", async (changes) => {
    const model = randomModel(changes as Partial<nn.GPTOptions>);
    const folded = await nn.foldInputNorms(model);
    const [y, z] = (await outputs(model, folded)) as [NDArray, NDArray];
    expect(relative(z, y)).toBeLessThan(1e-5);
    expect([...folded.namedVariables().keys()].filter((path) => isInputNorm(folded, path))).toEqual([]);
  });

  it("of a Post-LN block's norm are refused: its shortcut reads it too", async () => {
    await expect(nn.foldInputNorms(randomModel({ placement: "mix", layers: 4 }))).rejects.toThrow(
      'model.layers.0 is "post"',
    );
  });
});

describe("the stream is proved in the graph, not believed", () => {
  /** The model's own parts, put together in another way than it says. */
  const altered = (forward: (model: nn.GPT, tokens: Tensor) => Tensor): nn.GPT => {
    const model = randomModel({ bias: false, tieEmbeddings: false, norm: (w) => nn.layerNorm(w) });
    return Object.assign(model, { forward: (t: Tensor) => forward(model, t) });
  };
  const stream = (model: nn.GPT, t: Tensor) => model.hiddenStates(t).at(-1) as Tensor;

  it.each<[string, nn.GPT, RegExp]>([
    [
      "a head beside the norm",
      altered((model, t) => {
        const last = stream(model, t);
        return model.readout(last).add(last.mean(-1, { keepDims: true }));
      }),
      /"mean" outside any module reads the residual stream without a LayerNorm/,
    ],
    [
      "something added that is no writer",
      altered((model, t) => {
        const last = stream(model, t);
        return model.readout(last.add(last.relu()));
      }),
      /"relu" outside any module writes to the residual stream, but is not among its writers/,
    ],
  ])("%s is refused", async (_, model, message) => {
    await expect(nn.toPreRMSNorm(model)).rejects.toThrow(message);
    await expect(nn.toPreCRMSNorm(model)).rejects.toThrow(message);
  });
});

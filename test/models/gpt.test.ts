import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { compile, crossEntropy, grad, NDArray, nn, type Tensor, zeros } from "../../src/index.js";
import { namedGradients, runOnce } from "../../src/studies/golden/run-once.js";

const small = { layers: 4, width: 16, heads: 2, vocabulary: 11, context: 8 } as const;
const ids = (rows: number, length: number, seed = 1) =>
  NDArray.from(
    Array.from({ length: rows * length }, (_, i) => (i * 7 + seed * 3) % 11),
    "int32",
    [rows, length],
  );
const logits = async (model: nn.GPT, tokens: NDArray, padding?: NDArray): Promise<NDArray> => {
  const results = await runOnce({ tokens, ...(padding && { padding }) }, (feeds) => ({
    y: model.apply(feeds.tokens as Tensor, feeds.padding ? { padding: feeds.padding } : {}),
  }));
  return results.y as NDArray;
};

const said: string[] = [];
beforeEach(() => {
  said.length = 0;
  nn.onWarning((message) => said.push(message));
});
afterEach(() => {
  nn.onWarning();
});

describe("gpt", () => {
  it("names its parameters as Llama's checkpoints do", () => {
    const names = [
      ...nn
        .gpt({ ...small, layers: 1, placement: "peri", qkNorm: true })
        .namedVariables()
        .keys(),
    ];
    expect(names.sort()).toEqual([
      "lm_head.weight",
      "model.embed_norm.weight",
      "model.embed_tokens.weight",
      "model.layers.0.input_layernorm.weight",
      "model.layers.0.mlp.down_proj.weight",
      "model.layers.0.mlp.gate_proj.weight",
      "model.layers.0.mlp.up_proj.weight",
      "model.layers.0.post_attention_layernorm.weight",
      "model.layers.0.post_feedforward_layernorm.weight",
      "model.layers.0.pre_feedforward_layernorm.weight",
      "model.layers.0.self_attn.k_norm.weight",
      "model.layers.0.self_attn.k_proj.weight",
      "model.layers.0.self_attn.o_proj.weight",
      "model.layers.0.self_attn.q_norm.weight",
      "model.layers.0.self_attn.q_proj.weight",
      "model.layers.0.self_attn.v_proj.weight",
      "model.norm.weight",
    ]);
  });

  it.each(["rotary", "learned", "sinusoidal", "alibi", "none"] as const)(
    "sees no token after its own (%s positions)",
    async (positions) => {
      const model = nn.gpt({ ...small, positions, initialization: { std: 0.3 } });
      const [a, b] = [ids(1, 8), ids(1, 8)];
      b.data[5] = 10;
      const [y, z] = [await logits(model, a), await logits(model, b)];
      expect(z.toNumbers().slice(0, 5 * 11)).toEqual(y.toNumbers().slice(0, 5 * 11));
      expect(z.toNumbers().slice(5 * 11)).not.toEqual(y.toNumbers().slice(5 * 11));
    },
  );

  it.each(["pre", "post", "peri", "output", "mix", "lns"] as const)(
    "takes one token of one sequence (%s)",
    async (placement) => {
      const y = await logits(nn.gpt({ ...small, placement, norm: "layer" }), ids(1, 1));
      expect(y.shape).toEqual([1, 1, 11]);
      expect(y.toNumbers().every(Number.isFinite)).toBe(true);
    },
  );

  it.each(["rms", "layer"] as const)("stays finite where a whole sequence is padding (%s)", async (norm) => {
    const model = nn.gpt({ ...small, placement: "peri", norm, bias: true });
    const y = await logits(
      model,
      ids(2, 4),
      NDArray.from(
        [
          [1, 1, 1, 0],
          [0, 0, 0, 0],
        ],
        "bool",
      ),
    );
    expect(y.toNumbers().every(Number.isFinite)).toBe(true);
  });

  it("gives its hidden states before the final norm: embedding, then each block", async () => {
    const model = nn.gpt(small);
    const results = await runOnce({ tokens: ids(2, 5) }, ({ tokens }) => {
      const states = model.hiddenStates(tokens as Tensor);
      return {
        count: zeros([states.length]),
        last: model.readout(states.at(-1) as Tensor),
        y: model.apply(tokens as Tensor),
      };
    });
    expect(results.count?.size).toBe(5);
    expect(results.last?.toNumbers()).toEqual(results.y?.toNumbers());
  });

  it("gives a tied table the gradients of both its uses", async () => {
    const [tied, apart] = [nn.gpt({ ...small, tieEmbeddings: true }), nn.gpt(small)];
    expect(tied.namedVariables().has("lm_head.weight")).toBe(false);
    const state = await tied.stateDict();
    apart.loadStateDict(new Map([...state, ["lm_head.weight", state.get("model.embed_tokens.weight") as NDArray]]));
    const gradients = (model: nn.GPT) =>
      runOnce({ tokens: ids(2, 6), targets: ids(2, 6, 2) }, ({ tokens, targets }) =>
        namedGradients(crossEntropy(model.apply(tokens as Tensor), targets as Tensor), model),
      );
    const [one, two] = [await gradients(tied), await gradients(apart)];
    const sum = (two["grad.model.embed_tokens.weight"] as NDArray)
      .toNumbers()
      .map((g, i) => g + (two["grad.lm_head.weight"] as NDArray).at(i));
    for (const [i, g] of sum.entries()) expect(one["grad.model.embed_tokens.weight"]?.at(i)).toBeCloseTo(g, 6);
  });

  it("counts floating-point operations as 6 N + 12 L H Q T", () => {
    const model = nn.gpt({ ...small, mlp: nn.swiglu({ hidden: 40 }) });
    const N = 4 * (4 * 16 * 16 + 3 * 16 * 40) + 11 * 16;
    expect(model.matmulParameters()).toBe(N);
    expect(model.flopsPerToken(8)).toBe(6 * N + 12 * 4 * 2 * 8 * 8);
    expect(nn.gpt({ ...small, mlp: nn.swiglu({ hidden: 40 }), tieEmbeddings: true }).matmulParameters()).toBe(N);
  });

  it("derives the rest from one dial, depth", () => {
    expect(nn.gpt({ depth: 2, vocabulary: 11 }).config).toMatchObject({
      layers: 2,
      width: 128,
      heads: 2,
      headWidth: 64,
    });
    expect(nn.gpt({ depth: 2, width: 32, heads: 4, vocabulary: 11 }).config).toMatchObject({
      layers: 2,
      width: 32,
      headWidth: 8,
    });
  });
});

describe("Mix-LN at its ends", () => {
  it("with P = 0 is Pre-LN bit for bit; with P = L Post-LN and a final norm", async () => {
    for (const [P, placement] of [
      [0, "pre"],
      [4, "post"],
    ] as const) {
      const [mixed, plain] = [
        nn.gpt({ ...small, placement: nn.mix({ postLayers: P }) }),
        nn.gpt({ ...small, placement }),
      ];
      expect([...mixed.namedVariables().keys()]).toEqual([...plain.namedVariables().keys()]);
      expect((await logits(mixed, ids(2, 8))).data).toEqual((await logits(plain, ids(2, 8))).data);
    }
  });

  it("of LayerNorm Scaling, one block is Pre-LN exactly", async () => {
    const one = (placement: "lns" | "pre") => nn.gpt({ ...small, layers: 1, placement });
    expect((await logits(one("lns"), ids(2, 8))).data).toEqual((await logits(one("pre"), ids(2, 8))).data);
  });
});

describe("first values", () => {
  it("depend on the seed and the path alone", async () => {
    const state = async (options: Partial<nn.GPTOptions>) =>
      (await nn.gpt({ ...small, ...options }).stateDict()).get("model.layers.1.mlp.up_proj.weight");
    const reference = await state({ seed: 5 });
    expect((await state({ seed: 5, layers: 7, placement: "peri", tieEmbeddings: true }))?.data).toEqual(
      reference?.data,
    );
    expect((await state({ seed: 6 }))?.data).not.toEqual(reference?.data);
  });

  it("have the deviations asked for", async () => {
    const model = nn.gpt({
      ...small,
      width: 64,
      initialization: { std: 0.1, embeddingStd: 0.5, outputs: "depth-scaled" },
    });
    const deviation = async (path: string) => {
      const values = (await model.namedVariables().get(path)?.data())?.toNumbers() ?? [];
      return Math.sqrt(values.reduce((sum, v) => sum + v * v, 0) / values.length);
    };
    expect(await deviation("model.layers.0.self_attn.q_proj.weight")).toBeCloseTo(0.1, 2);
    expect(await deviation("model.layers.0.mlp.down_proj.weight")).toBeCloseTo(0.1 / Math.sqrt(8), 2);
    expect(await deviation("model.embed_tokens.weight")).toBeCloseTo(0.5, 1);
    expect(await deviation("model.norm.weight")).toBe(1);
  });

  it("leave sinusoidal positions alone", async () => {
    const table = nn
      .gpt({ ...small, positions: "sinusoidal" })
      .namedVariables()
      .get("model.embed_positions.weight");
    expect((await table?.data())?.toNumbers().slice(0, 4)).toEqual([0, 1, 0, 1]);
    expect(table?.trainable).toBe(false);
  });

  it.each([
    ["lns", "depth-scaled", "cancels LayerNorm Scaling"],
    ["peri", "zero", "its gradient is 1/√eps times too large"],
    ["output", "zero", "its gradient is 1/√eps times too large"],
  ] as const)("warn where %s meets outputs that start %s", (placement, outputs, message) => {
    nn.gpt({ ...small, placement, initialization: { outputs } });
    expect(said).toEqual([expect.stringContaining(message)]);
  });

  it("give no warning where nothing is wrong", () => {
    nn.gpt({ ...small, placement: "pre", initialization: { outputs: "depth-scaled" } });
    nn.gpt({ ...small, placement: "peri" });
    expect(said).toEqual([]);
  });
});

describe("gpt refuses", () => {
  const model = nn.gpt(small);
  it.each([
    ["heads that do not divide the width", () => nn.gpt({ ...small, heads: 3 }), "3 heads do not divide the width 16"],
    [
      "key heads that do not divide heads",
      () => nn.gpt({ ...small, heads: 4, kvHeads: 3 }),
      "3 key/value heads do not divide 4",
    ],
    [
      "a missing size",
      () => nn.gpt({ layers: 2, vocabulary: 11 }),
      "expected width to be a positive whole number, got undefined; give it, or depth",
    ],
    ["an unknown placement", () => nn.gpt({ ...small, placement: "pery" as "peri" }), 'did you mean "peri"?'],
    ["an unknown norm", () => nn.gpt({ ...small, norm: "rsm" as "rms" }), 'did you mean "rms"?'],
    ["an unknown MLP", () => nn.gpt({ ...small, mlp: "swigul" as "swiglu" }), 'did you mean "swiglu"?'],
    [
      "LayerNorm on width 1",
      () => nn.gpt({ ...small, width: 1, heads: 1, norm: "layer", positions: "none" }),
      "one element minus its own mean",
    ],
    ["a longer input than its context", () => model.apply(zeros([1, 9], "int32")), "9 tokens exceed the context of 8"],
    ["tokens that are no integers", () => model.apply(zeros([1, 4])), "expected tokens of int32 or int64, got float32"],
    ["tokens that are no batch", () => model.apply(zeros([4], "int32")), "expected tokens [batch, length], got [4]"],
    [
      "a negative deviation",
      () => nn.gpt({ ...small, initialization: { std: -1 } }),
      "expected std of at least 0, got -1",
    ],
  ])("%s", (_, make, message) => {
    expect(make).toThrow(message);
  });

  it("names the module in an error inside the model", () => {
    const broken = nn.gpt(small);
    nn.rewrite(broken, (_, path) => (path === "model.layers.2.input_layernorm" ? nn.rmsNorm(12) : undefined));
    expect(() => broken.apply(zeros([1, 4], "int32"))).toThrow(
      "RMSNorm at model.layers.2.input_layernorm: expected last axis 12, got [1, 4, 16]",
    );
  });
});

describe("loading a checkpoint", () => {
  const stateOf = async (placement: nn.PlacementOption) =>
    nn.gpt({ ...small, placement, embedNorm: false }).stateDict();

  it("of two norms a block into Peri-LN names what is missing", async () => {
    const values = await stateOf("pre");
    expect(() => nn.gpt({ ...small, placement: "peri", embedNorm: false }).loadStateDict(values)).toThrow(
      "blocks 0, 1, 2, 3 (peri) misses pre_feedforward_layernorm and post_feedforward_layernorm",
    );
  });

  it("of Pre-LN into Mix-LN names the blocks, and is refused without `strict` too", async () => {
    const values = await stateOf("pre");
    const mixed = nn.gpt({ ...small, placement: nn.mix({ postLayers: 2 }) });
    for (const strict of [true, false])
      expect(() => mixed.loadStateDict(values, { strict })).toThrow(
        "blocks 0, 1 (post) misses post_feedforward_layernorm and has input_layernorm too many",
      );
  });

  it("names a missing tensor", async () => {
    const values = await stateOf("pre");
    values.delete("model.layers.3.mlp.down_proj.weight");
    expect(() => nn.gpt(small).loadStateDict(values)).toThrow("missing model.layers.3.mlp.down_proj.weight");
  });

  it("adds 1 to Gemma's gains, and to nothing else", async () => {
    const values = await stateOf("pre");
    for (const [name, value] of values) if (/norm\.weight$/.test(name)) value.data.fill(0.5 as never);
    const model = nn.gpt(small);
    model.loadStateDict(values, { gainOffset: 1 });
    const loaded = await model.stateDict();
    expect(loaded.get("model.layers.0.input_layernorm.weight")?.at(0)).toBe(1.5);
    expect(loaded.get("model.norm.weight")?.at(0)).toBe(1.5);
    expect(loaded.get("lm_head.weight")?.data).toEqual(values.get("lm_head.weight")?.data);
  });
});

describe("training", () => {
  it("warns of Post-LN blocks without a warm-up", () => {
    nn.gpt({ ...small, placement: nn.mix({ postLayers: 2 }) }).checkTraining({ warmup: 0 });
    expect(said).toEqual([expect.stringContaining("block 0, 1 is Post-LN, which diverges without a warm-up")]);
    nn.gpt({ ...small, placement: "post" }).checkTraining({ warmup: 10 });
    nn.gpt(small).checkTraining({ warmup: 0 });
    expect(said.length).toBe(1);
  });

  it("of Peri-LN: scaling a module's last matrix by s leaves the output, and divides its gradient by s", async () => {
    const model = nn.gpt({ ...small, placement: "peri", initialization: { std: 0.3 } });
    const weight = model.namedVariables().get("model.layers.1.mlp.down_proj.weight");
    if (!weight) throw new Error("no down_proj");
    const program = compile(({ tokens, targets }: { tokens: Tensor; targets: Tensor }) => {
      const y = model.apply(tokens);
      return { y, g: grad(crossEntropy(y, targets), [weight])[0] as Tensor };
    });
    const feeds = { tokens: ids(2, 8), targets: ids(2, 8, 2) };
    const before = await program(feeds);
    const values = await weight.data();
    weight.set(
      NDArray.from(
        values.toNumbers().map((w) => 4 * w),
        "float32",
        values.shape,
      ),
    );
    const after = await program(feeds);
    for (let i = 0; i < before.y.size; i++) expect(after.y.at(i)).toBeCloseTo(before.y.at(i), 4);
    const largest = Math.max(...before.g.toNumbers().map(Math.abs));
    for (let i = 0; i < before.g.size; i++)
      expect(Math.abs(4 * after.g.at(i) - before.g.at(i))).toBeLessThan(1e-3 * largest);
  });
});

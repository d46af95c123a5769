import { describe, expect, it } from "vitest";
import { compile, NDArray, nn, ones, type Tensor, training, zeros } from "../../src/index.js";
import { runOnce } from "../../src/studies/golden/run-once.js";

describe("Linear", () => {
  it("is x Wᵀ + b on the last axis of any rank", async () => {
    const layer = new nn.Linear(2, 3);
    layer.weight.set([
      [1, 2],
      [3, 4],
      [5, 6],
    ]);
    layer.bias?.set([10, 20, 30]);
    const { y } = await runOnce({ x: [[[1, 1]]] }, ({ x }) => ({ y: layer.apply(x as Tensor) }));
    expect(y?.toArray()).toEqual([[[13, 27, 41]]]);
  });

  it("has outputs of mean 0 with zeroMeanOutput", async () => {
    const layer = new nn.Linear(3, 5, { zeroMeanOutput: true });
    const { y } = await runOnce({ x: [[1, -2, 3]] }, ({ x }) => ({ y: layer.apply(x as Tensor).mean(-1) }));
    expect(y?.item()).toBeCloseTo(0, 6);
  });

  it.each([
    [() => new nn.Linear(0, 3), "expected inputs to be a positive whole number, got 0"],
    [() => new nn.Linear(3, 1.5), "expected outputs to be a positive whole number, got 1.5"],
    [
      () => new nn.Linear(3, 2).apply(zeros([4, 5])),
      "Linear: expected last axis 3, got [4, 5]; was the model built with width 3?",
    ],
  ])("refuses what cannot be: %s", (make, message) => {
    expect(make).toThrow(message);
  });
});

describe("Embedding", () => {
  it("refuses ids that are no integers", () => {
    expect(() => new nn.Embedding(3, 2).apply(zeros([4]))).toThrow(
      "Embedding: expected ids of int32 or int64, got float32",
    );
  });
});

describe("dropout", () => {
  const values = (p: number, mode: <T>(body: () => T) => T) =>
    compile(() => ({ y: mode(() => nn.dropout(ones([1000]), p)) }), { seed: 4 });

  it("zeroes a share p in training and scales the rest, anew at every step", async () => {
    const program = values(0.25, training);
    const [first, second] = [(await program({})).y.toNumbers(), (await program({})).y.toNumbers()];
    expect(new Set(first)).toEqual(new Set([0, Math.fround(1 / 0.75)]));
    expect(first.filter((v) => v === 0).length / 1000).toBeCloseTo(0.25, 1);
    expect(second).not.toEqual(first);
  });

  it("is the identity in inference", async () => {
    const { y } = await values(0.9, (body) => body())({});
    expect(new Set(y.toNumbers())).toEqual(new Set([1]));
  });

  it.each([1, -0.1, Number.NaN])("refuses the probability %d", (p) => {
    expect(() => nn.dropout(ones([2]), p)).toThrow("expected a probability in [0, 1)");
  });
});

describe("an MLP", () => {
  it.each([
    ["gelu", 64, 256],
    ["swiglu", 64, 168],
    ["swiglu", 512, 1368],
    ["swiglu", 768, 2048],
  ] as const)("%s of a stream %i wide is %i wide inside", (name, width, hidden) => {
    const mlp = nn.uninitialized(() => nn.mlpFactory(name)(width, { bias: false }));
    expect(mlp.namedVariables().get("up_proj.weight")?.shape).toEqual([hidden, width]);
  });
});

describe("clone", () => {
  it("shares no variable with the original, and keeps what is shared inside shared", async () => {
    const shared = new nn.Linear(2, 2);
    class Twice extends nn.Module {
      readonly first = shared;
      readonly second = shared;
      override forward(x: Tensor): Tensor {
        return this.second.apply(this.first.apply(x));
      }
    }
    const model = new Twice();
    const copy = await nn.clone(model);
    expect(copy.first).toBe(copy.second);
    expect(copy).toBeInstanceOf(Twice);
    const before = (await model.first.weight.data()).toNumbers();
    copy.first.weight.set(NDArray.zeros([2, 2]));
    expect((await model.first.weight.data()).toNumbers()).toEqual(before);
  });
});

describe("GPT-2's checkpoint names", () => {
  it("become ours: transposed, and q, k, v apart", () => {
    const fused = NDArray.from([
      [1, 2, 3, 4, 5, 6],
      [7, 8, 9, 10, 11, 12],
    ]); // [in 2, 3 · out 2]
    const ours = nn.fromGPT2(new Map([["transformer.h.3.attn.c_attn.weight", fused]]));
    expect([...ours].map(([name, value]) => [name, value.toArray()])).toEqual([
      [
        "model.layers.3.self_attn.q_proj.weight",
        [
          [1, 7],
          [2, 8],
        ],
      ],
      [
        "model.layers.3.self_attn.k_proj.weight",
        [
          [3, 9],
          [4, 10],
        ],
      ],
      [
        "model.layers.3.self_attn.v_proj.weight",
        [
          [5, 11],
          [6, 12],
        ],
      ],
    ]);
  });

  it("refuses names GPT-2 does not have", () => {
    expect(() => nn.fromGPT2(new Map([["h.0.attn.rotary", NDArray.zeros([1])]]))).toThrow(
      'GPT-2 has no tensor "h.0.attn.rotary"',
    );
  });
});

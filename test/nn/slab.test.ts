import { describe, expect, it } from "vitest";
import {
  compile,
  grad,
  inference,
  NDArray,
  nn,
  normalArray,
  optim,
  type Tensor,
  tensor,
  fit as train,
  training,
} from "../../src/index.js";
import { relativeError } from "../../src/studies/golden/case.js";

const draw = (site: string, shape: readonly number[]) => normalArray({ seed: 7, site }, shape);

describe("PRepBN", () => {
  it("goes from LayerNorm to RepBN by its schedule", async () => {
    const norm = nn.prepbn(4, { warm: 2, step: 4, r0: 0.7 });
    const step = compile(({ x }: { x: Tensor }) => ({
      y: training(() => norm.apply(x)),
      layer: x.layerNorm({ eps: 1e-5 }),
    }));
    const lambdas: number[] = [];
    for (let i = 0; i < 8; i++) {
      lambdas.push(await norm.progress());
      const { y, layer } = await step({ x: draw(`x${i}`, [2, 3, 4]) });
      const isLayerNorm = relativeError(y.toNumbers(), layer.toNumbers()) < 1e-5;
      expect(isLayerNorm).toBe(i < 2);
    }
    await step.release();
    for (const [i, expected] of [1, 1, 0.7, 0.525, 0.35, 0.175, 0, 0].entries())
      expect(lambdas[i]).toBeCloseTo(expected, 6);
  });

  it("takes half of a training's steps for the transition where nothing else is asked", async () => {
    const model = new nn.Sequential(new nn.Linear(3, 4), nn.prepbn(4), new nn.Linear(4, 1));
    const norm = model[1] as nn.PRepBN;
    const x = draw("x", [6, 3]);
    async function* batches() {
      for (;;) yield { x };
    }
    const events = train({
      model,
      loss: ({ x }) =>
        model
          .apply(x as Tensor)
          .square()
          .mean(),
      data: batches,
      optimizer: (parameters, learningRate) => optim.adam(parameters, { learningRate }),
      learningRate: 1e-3,
      steps: 10,
      accumulation: 2,
    });
    for await (const _ of events);
    expect(norm.total).toBe(5);
    expect(norm.accumulation).toBe(2);
    expect(await norm.progress()).toBe(0);
  });

  it("warns when folded before the schedule is over, and is a BatchNorm afterwards", async () => {
    const norm = nn.prepbn(3, { step: 2 });
    const said: string[] = [];
    const before = nn.onWarning((message) => said.push(message));
    await nn.foldNorms(new nn.Sequential(norm, new nn.Linear(3, 2)));
    nn.onWarning(before);
    expect(said[0]).toContain("LayerNorm still has a share of 1.000");
    norm.alpha.set([0.3]);
    const step = compile(({ x }: { x: Tensor }) => ({ y: training(() => norm.apply(x)) }));
    for (let i = 0; i < 3; i++) await step({ x: draw(`x${i}`, [5, 3]) });
    const merged = await norm.mergeToBatchNorm();
    const both = compile(({ x }: { x: Tensor }) => inference(() => ({ a: norm.apply(x), b: merged.apply(x) })));
    const { a, b } = await both({ x: draw("x", [4, 3]) });
    expect(relativeError(b.toNumbers(), a.toNumbers())).toBeLessThan(1e-5);
    await Promise.all([step.release(), both.release()]);
  });

  it("works on one sample of several tokens, on constant channels and before any training", async () => {
    const norm = nn.prepbn(2, { step: 1 });
    const run = compile(({ x }: { x: Tensor }) => ({
      before: inference(() => norm.apply(x)),
      y: training(() => norm.apply(x)),
    }));
    const { before, y } = await run({ x: NDArray.from([1, 2, 1, 3, 1, 5], "float32", [1, 3, 2]) });
    expect([...before.toNumbers(), ...y.toNumbers()].every(Number.isFinite)).toBe(true);
    // Running mean 0, variance 1, α = 1: twice the input.
    expect(before.at(1)).toBeCloseTo(4, 4);
    await run.release();
  });

  it("refuses what it cannot do", () => {
    const refused: [() => unknown, string][] = [
      [() => nn.prepbn(4, { step: 0 }), "step to be a whole number of at least 1, got 0"],
      [() => nn.prepbn(4, { warm: -1 }), "warm to be a whole number of at least 0, got -1"],
      [() => nn.prepbn(4, { r0: 0 }), "r0 above 0 and up to 1, got 0"],
      [() => nn.prepbn(4, { r0: 1.5 }), "r0 above 0 and up to 1, got 1.5"],
      [() => nn.prepbn(4).apply(tensor([[1, 2]])), "got [1, 2]"],
    ];
    for (const [act, message] of refused) expect(act).toThrow(message);
    const single = compile(({ x }: { x: Tensor }) => ({ y: training(() => nn.prepbn(2).apply(x)) }));
    return expect(single({ x: draw("x", [1, 2]) })).rejects.toThrow("one value per channel");
  });
});

describe("simplified linear attention", () => {
  const options = { dim: 8, heads: 2, height: 3, width: 2, kernel: 3 };

  it("is the same in both orders of evaluation", async () => {
    // N = 6 tokens: more than a head is wide with 4 heads (2), fewer with 1 (8).
    for (const heads of [4, 1]) {
      const layer = nn.simplifiedLinearAttention({ ...options, heads });
      const run = compile(({ x }: { x: Tensor }) => {
        const [q, k, v] = layer.qkv.apply(x).split([8, 8, 8], -1) as [Tensor, Tensor, Tensor];
        const perHead = (t: Tensor) => t.reshape([2, 6, heads, 8 / heads]).transpose([0, 2, 1, 3]);
        const scores = perHead(q.relu()).matmul(perHead(k.relu()).transpose([0, 1, 3, 2]));
        const weights = scores.div(scores.sum(-1, { keepDims: true }).add(1e-6));
        const mixed = weights.matmul(perHead(v)).transpose([0, 2, 1, 3]).reshape([2, 6, 8]);
        return { whole: layer.apply(x), scores: layer.proj.apply(mixed) };
      });
      layer.dwc.weight.set(NDArray.zeros(layer.dwc.weight.shape));
      layer.dwc.bias?.set(NDArray.zeros([8 / heads]));
      const { whole, scores } = await run({ x: draw("x", [2, 6, 8]) });
      expect(relativeError(whole.toNumbers(), scores.toNumbers())).toBeLessThan(1e-5);
      await run.release();
    }
  });

  it("gives its convolution alone where every query is negative", async () => {
    const layer = nn.simplifiedLinearAttention(options);
    layer.qkv.bias?.set(NDArray.from([...Array(8).fill(-100), ...Array(16).fill(0)]));
    const run = compile(({ x }: { x: Tensor }) => {
      const y = layer.apply(x);
      return { y, dx: grad(y.sum(), [x])[0] as Tensor };
    });
    const { y, dx } = await run({ x: draw("x", [1, 6, 8]) });
    expect([...y.toNumbers(), ...dx.toNumbers()].every(Number.isFinite)).toBe(true);
    await run.release();
  });

  it("refuses what it cannot do", () => {
    const refused: [() => unknown, string][] = [
      [() => nn.simplifiedLinearAttention({ ...options, heads: 3 }), "expected heads to divide dim 8, got 3"],
      [() => nn.simplifiedLinearAttention({ ...options, kernel: 4 }), "expected an odd kernel, got 4"],
      [
        () => nn.simplifiedLinearAttention(options).apply(tensor(draw("x", [1, 5, 8]))),
        "expected [batch, 3 × 2 = 6, 8], got [1, 5, 8]",
      ],
      [
        () =>
          nn
            .simplifiedLinearAttention(options)
            .apply(tensor(draw("x", [1, 6, 8])), { segments: tensor(NDArray.zeros([1, 6], "int32")) }),
        "there is no segments; use Attention in causal models",
      ],
    ];
    for (const [act, message] of refused) expect(act).toThrow(message);
  });
});

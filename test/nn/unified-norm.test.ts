import { describe, expect, it } from "vitest";
import { compile, grad, inference, NDArray, nn, normalArray, type Tensor, tensor, training } from "../../src/index.js";
import { relativeError } from "../../src/studies/golden/case.js";

const draw = (site: string, shape: readonly number[], scale = 1) =>
  NDArray.from(
    normalArray({ seed: 3, site }, shape)
      .toNumbers()
      .map((v) => v * scale),
    "float32",
    shape,
  );

/** One training step with fixed parameters and an upstream gradient; gives y and dx. */
const stepOf = (norm: nn.Norm) =>
  compile(({ x, upstream }: { x: Tensor; upstream: Tensor }) => {
    const y = training(() => norm.apply(x));
    const [dx] = grad(y.mul(upstream).sum(), [x]);
    return { y, dx: dx as Tensor };
  });

const std = (array: NDArray): number => {
  const values = array.toNumbers();
  return Math.sqrt(values.reduce((sum, v) => sum + v * v, 0) / values.length);
};

describe("unified norm", () => {
  // With filtration the step behind the outlier is rejected, too: its row holds the running moment, which the outlier moved.
  it.each([
    [false, 12.9, 0.43, 1.4, [41, 42, 43]],
    [true, 1, 0.57, 90, [42, 43, 44]],
  ])(
    "with outlier filtration %s treats a batch 30 times as large as the paper's rule says",
    async (filter, at, after, running, later) => {
      const norm = nn.unifiedNorm(32, { warmupIters: 20, outlierFiltration: filter });
      const step = stepOf(norm);
      const deviations: number[] = [];
      for (let i = 1; i <= 44; i++) {
        const x = draw(`x${i}`, [8, 16, 32], i === 40 ? 30 : 1);
        const { y } = await step({ x, upstream: draw(`w${i}`, [8, 16, 32]) });
        deviations.push(std(y));
        if (i === 40) {
          const values = (await norm.running_var.data()).toNumbers();
          const mean = values.reduce((a, b) => a + b) / 32;
          expect(mean / running).toBeGreaterThan(0.8);
          expect(mean / running).toBeLessThan(1.25);
        }
      }
      await step.release();
      expect((deviations[39] as number) / at).toBeCloseTo(1, 1);
      for (const i of later) expect((deviations[i - 1] as number) / after).toBeCloseTo(1, 1);
      expect((await norm.skip_counter.data()).item() > 0).toBe(filter);
    },
  );

  it("keeps a rejected batch out of the running moment where asked", async () => {
    const norm = nn.unifiedNorm(4, { warmupIters: 0, windowSize: 2, outlierFiltration: true, followOutliers: false });
    const step = stepOf(norm);
    const upstream = draw("w", [4, 4]);
    for (let i = 0; i < 6; i++) await step({ x: draw(`x${i}`, [4, 4]), upstream });
    const before = await norm.running_var.data();
    const skipped = (await norm.skip_counter.data()).item();
    await step({ x: draw("far", [4, 4], 100), upstream });
    expect((await norm.skip_counter.data()).item()).toBe(skipped + 1);
    expect(await norm.running_var.data()).toEqual(before);
    await step.release();
  });

  it("with a window of 1 has the true derivative of a channel's quadratic mean", async () => {
    const norm = nn.unifiedNorm(3, { windowSize: 1, warmupIters: 0 });
    const [x, upstream] = [draw("x", [5, 3]), draw("w", [5, 3])];
    const step = stepOf(norm);
    const { dx } = await step({ x, upstream });
    const exact = compile(({ x, upstream }: { x: Tensor; upstream: Tensor }) => {
      const y = x.mul(x.square().mean(0).add(1e-5).rsqrt());
      return { dx: grad(y.mul(upstream).sum(), [x])[0] as Tensor };
    });
    expect(relativeError(dx.toNumbers(), (await exact({ x, upstream })).dx.toNumbers())).toBeLessThan(1e-4);
    await Promise.all([step.release(), exact.release()]);
  });

  it("works on a single token and on a channel of zeros, in images, and leaves its state alone in inference", async () => {
    const norm = nn.unifiedNorm(2, { warmupIters: 0, axis: 1 });
    norm.bias.set([0.5, -1]);
    const step = stepOf(norm);
    const x = NDArray.from([0, 0, 0, 0, 1, 2, 3, 4], "float32", [1, 2, 2, 2]);
    for (let i = 0; i < 6; i++) {
      const { y, dx } = await step({ x, upstream: draw("w", [1, 2, 2, 2]) });
      expect(y.toNumbers().slice(0, 4)).toEqual([0.5, 0.5, 0.5, 0.5]);
      expect([...y.toNumbers(), ...dx.toNumbers()].every(Number.isFinite)).toBe(true);
    }
    const before = await norm.stateDict();
    const one = compile(({ x }: { x: Tensor }) => ({ y: inference(() => norm.apply(x)) }));
    await one({ x: NDArray.zeros([1, 2, 1, 1]) });
    expect(await norm.stateDict()).toEqual(before);
    await Promise.all([step.release(), one.release()]);
  });

  it("is the same under recomputation, and after saving in the middle of a window", async () => {
    const make = () => nn.unifiedNorm(3, { warmupIters: 2, windowSize: [3, 2] });
    const run = async (norm: nn.UnifiedNorm, from: number, to: number) => {
      const step = stepOf(norm);
      const seen: number[][] = [];
      for (let i = from; i < to; i++) {
        const { y, dx } = await step({ x: draw(`x${i}`, [4, 3]), upstream: draw(`w${i}`, [4, 3]) });
        seen.push([...y.toNumbers(), ...dx.toNumbers()]);
      }
      await step.release();
      return seen;
    };
    const whole = await run(make(), 0, 8);
    expect(await run(nn.recompute(make()), 0, 8)).toEqual(whole);
    const first = make();
    await run(first, 0, 5);
    const second = make();
    second.loadStateDict(await first.stateDict());
    expect(await run(second, 5, 8)).toEqual(whole.slice(5));
    second.resetWarmup();
    expect((await second.iters.data()).item()).toBe(0);
  });

  it("gives NaN for a batch without one real token, for training to report", async () => {
    const norm = nn.unifiedNorm(2);
    const run = compile(({ x, padding }: { x: Tensor; padding: Tensor }) => ({
      y: training(() => nn.withInputs({ padding }, () => norm.apply(x))),
    }));
    const { y } = await run({ x: draw("x", [1, 3, 2]), padding: NDArray.zeros([1, 3], "bool") });
    expect(y.toNumbers().every(Number.isNaN)).toBe(true);
    await run.release();
  });

  it("refuses what it cannot do", () => {
    const refused: [() => unknown, string][] = [
      [() => nn.unifiedNorm(4, { windowSize: 0 }), "windowSize of at least one whole step, got 0"],
      [() => nn.unifiedNorm(4, { windowSize: [4, 1.5] }), "windowSize of at least one whole step, got 1.5"],
      [() => nn.unifiedNorm(4, { momentum: 1 }), "momentum between 0 and 1, got 1"],
      [() => nn.unifiedNorm(4, { eps: 0 }), "UnifiedNorm: expected"],
      [() => nn.unifiedNorm(4, { warmupIters: -1 }), "warmupIters of at least 0, got -1"],
      [() => nn.unifiedNorm(4).apply(tensor([[1, 2, 3]])), "expected […, 4], got [1, 3]"],
      [() => nn.unifiedNorm(4).apply(tensor([1, 2, 3, 4])), "expected […, 4], got [4]"],
    ];
    for (const [act, message] of refused) expect(act).toThrow(message);
    const norm = nn.unifiedNorm(2);
    const twice = compile(({ x }: { x: Tensor }) => {
      const loss = training(() => norm.apply(norm.apply(x)).sum());
      return { dx: grad(loss, [x])[0] as Tensor };
    });
    return expect(twice({ x: draw("x", [3, 2]) })).rejects.toThrow(
      "two forward passes in training before one backward",
    );
  });
});

describe("folding of running norms", () => {
  const model = (norm: nn.NormOption, placement: "pre" | "post" = "pre") =>
    nn.gpt({
      layers: 4,
      width: 16,
      heads: 2,
      vocabulary: 11,
      context: 8,
      norm,
      placement,
      tieEmbeddings: true,
      seed: 1,
    });

  /** Other values than those a norm starts with. */
  function disturb(net: nn.GPT): void {
    for (const [path, variable] of net.namedVariables())
      if (/norm.*\.(weight|bias|running_\w+)$/.test(path)) {
        const isMoment = path.includes("running_var") || path.includes("running_phi");
        variable.set(
          NDArray.from(
            normalArray({ seed: 1, site: path }, variable.shape)
              .toNumbers()
              .map((v) => (isMoment ? Math.exp(v) : 0.7 + 0.3 * v)),
          ),
        );
      }
  }

  const outputs = async (net: nn.GPT) => {
    const run = compile(({ ids }: { ids: Tensor }) => ({ y: inference(() => net.apply(ids)) }));
    const { y } = await run({ ids: net.exampleInput() });
    await run.release();
    return y.toNumbers();
  };

  it.each([
    ["unified", "unified" as const],
    ["batch", "batch" as const],
    ["prepbn", "prepbn" as const],
    ["power without layer-scale", (width: number) => nn.powerNorm(width, { groups: 0 })],
  ])("%s: nine norms of a pre-norm transformer go, exactly", async (_, norm) => {
    const net = model(norm);
    disturb(net);
    const { model: folded, folded: paths } = await nn.foldNorms(net);
    expect(paths).toHaveLength(9);
    expect([...folded.namedModules()].filter(([, module]) => module instanceof nn.Norm)).toEqual([]);
    expect(relativeError(await outputs(folded), await outputs(net))).toBeLessThan(1e-5);
  });

  it("power norm keeps its layer-scale, without gain, and a norm on the stream becomes a scale", async () => {
    const net = model((width) => nn.powerNorm(width, { groups: 2 }));
    disturb(net);
    const { model: folded } = await nn.foldNorms(net);
    expect([...folded.namedModules()].filter(([, module]) => module instanceof nn.LayerScale)).toHaveLength(9);
    expect(relativeError(await outputs(folded), await outputs(net))).toBeLessThan(1e-5);
    const post = model("unified", "post");
    disturb(post);
    const { model: scaled } = await nn.foldNorms(post);
    const norms = [...scaled.namedModules()].filter(([, module]) => module instanceof nn.Norm);
    expect(norms.length).toBeGreaterThan(7);
    expect(norms.every(([, module]) => module instanceof nn.ChannelScale)).toBe(true);
    expect(relativeError(await outputs(scaled), await outputs(post))).toBeLessThan(1e-5);
  });

  it("leaves norms that compute from their input as they are", async () => {
    const net = model("rms");
    const { folded } = await nn.foldNorms(net);
    expect(folded).toEqual([]);
  });
});

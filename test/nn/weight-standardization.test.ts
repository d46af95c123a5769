import { describe, expect, it } from "vitest";
import { compile, grad, inference, NDArray, nn, philoxNormal, type Tensor, training } from "../../src/index.js";
import { relativeError } from "../../src/studies/golden/case.js";

const values = (shape: number[], site = "x"): NDArray =>
  new NDArray(
    philoxNormal(
      { seed: 3, site },
      shape.reduce((a, b) => a * b),
    ),
    shape,
    "float32",
  );
const numbers = (array: NDArray | undefined): number[] => (array as NDArray).toNumbers();

describe("weight standardisation", () => {
  it("does not see a filter's scale and shift; its gradient is orthogonal to 1 and to the filter", async () => {
    const standardize = nn.weightStandardization();
    const W = values([4, 3, 2, 2]);
    const changed = NDArray.from(
      W.toNumbers().map((w, i) => w * (1 + Math.floor(i / 12)) + 5),
      "float32",
      W.shape,
    );
    const { a, b, g } = await compile(({ W, changed, up }) => {
      const a = standardize.apply(W as Tensor);
      return {
        a,
        b: standardize.apply(changed as Tensor),
        g: grad(a.mul(up as Tensor).sum(), [W as Tensor])[0] as Tensor,
      };
    })({ W, changed, up: values([4, 3, 2, 2], "up") });
    expect(relativeError(numbers(b), numbers(a))).toBeLessThan(1e-4);
    for (let filter = 0; filter < 4; filter++) {
      const own = (list: number[]) => list.slice(filter * 12, (filter + 1) * 12);
      const [gradient, used] = [own(numbers(g)), own(numbers(a))];
      const size = Math.hypot(...gradient);
      expect(Math.abs(gradient.reduce((sum, v) => sum + v, 0)) / size).toBeLessThan(1e-4);
      expect(Math.abs(gradient.reduce((sum, v, i) => sum + v * (used[i] as number), 0)) / size).toBeLessThan(1e-3);
    }
  });

  it("a constant filter gives zero and a finite gradient", async () => {
    const standardize = nn.weightStandardization();
    const { w, g } = await compile(({ W }) => {
      const w = standardize.apply(W as Tensor);
      return { w, g: grad(w.mul(W as Tensor).sum(), [W as Tensor])[0] as Tensor };
    })({ W: NDArray.from([[2, 2, 2]]) });
    expect(numbers(w)).toEqual([0, 0, 0]);
    expect(numbers(g).every(Number.isFinite)).toBe(true);
  });

  it("takes the layers right before a norm, leaves fan-in 1 out with a warning, and bakes into an ordinary model", async () => {
    const make = () =>
      new nn.Sequential(
        new nn.Conv2d(3, 4, 3, { bias: false }),
        nn.groupNorm(2, 4),
        new nn.Conv2d(4, 4, 1, { groups: 4 }),
        nn.groupNorm(2, 4),
        new nn.Lambda((x) => x.mean([2, 3])),
        new nn.Linear(4, 2),
      );
    const warnings: string[] = [];
    const before = nn.onWarning((text) => warnings.push(text));
    const model = nn.standardizeWeights(make());
    nn.onWarning(before);
    const counts = model.layers.map((layer) =>
      layer instanceof nn.Weighted ? layer.parametrizations.length : undefined,
    );
    expect(counts).toEqual([1, undefined, 0, undefined, undefined, 0]);
    expect(warnings).toEqual(["weight standardisation leaves 2 out: its filters have a fan-in of 1"]);
    const run = async () =>
      numbers((await compile(({ x }) => ({ y: model.apply(x as Tensor) }))({ x: values([2, 3, 5, 5]) })).y);
    const y = await run();
    await nn.bake(model);
    expect(relativeError(await run(), y)).toBeLessThan(1e-5);
  });

  it("refuses a fan-in of 1", async () => {
    await expect(
      compile(({ W }) => ({ w: nn.weightStandardization().apply(W as Tensor) }))({ W: values([3, 1]) }),
    ).rejects.toThrow("fan-in 1 has no variance");
  });
});

describe("batch-channel norm", () => {
  it("with estimated statistics is the same function in training and inference once they are set", async () => {
    const norm = nn.batchChannelNorm(4, { groups: 2, estimate: true, rate: 0 });
    const x = values([1, 4, 3, 3]);
    const { a, b } = await compile(({ x }) => ({
      a: training(() => norm.apply(x as Tensor)),
      b: inference(() => norm.apply(x as Tensor)),
    }))({ x });
    expect(numbers(a)).toEqual(numbers(b));
  });

  it("changes its rate without a new trace", async () => {
    const norm = new nn.EstimatedBatchNorm(2, { rate: 0.5 });
    let traces = 0;
    const step = compile(({ x }) => {
      traces++;
      return { y: training(() => norm.apply(x as Tensor)) };
    });
    await step({ x: NDArray.from([[[[4]], [[8]]]]) });
    norm.rate.set(1);
    await step({ x: NDArray.from([[[[6]], [[2]]]]) });
    expect(traces).toBe(1);
    expect(numbers((await norm.stateDict()).get("running_mean"))).toEqual([6, 2]);
    expect(numbers((await norm.stateDict()).get("running_var"))).toEqual([16, 4]); // around the old means 2 and 4
  });

  it.each([
    [() => nn.batchChannelNorm(6, { groups: 4 }), "4 groups do not divide 6 channels"],
    [() => nn.batchChannelNorm(6, { groups: 0 }), "0 groups do not divide"],
    [() => new nn.EstimatedBatchNorm(4, { rate: 1.5 }), "expected a rate from 0 to 1, got 1.5"],
  ])("refuses what cannot be (%#)", (make, message) => {
    expect(make).toThrow(message);
  });
});

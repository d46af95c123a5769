import { describe, expect, it } from "vitest";
import { compile, NDArray, nn, optim, type Tensor } from "../../src/index.js";
import { relativeError } from "../../src/studies/golden/case.js";

const x = NDArray.from([
  [1, -2, 0.5],
  [0.3, 0.1, -1],
]);
const outputOf = async (layer: nn.Module) => {
  const { y } = await compile(({ x }) => ({ y: layer.apply(x as Tensor) }))({ x });
  return (y as NDArray).toNumbers();
};
const large = async () => {
  const layer = new nn.Linear(3, 2);
  layer.weight.set([
    [0.5, -0.4, 0.3],
    [0.2, 0.1, -9],
  ]);
  return layer;
};

describe("weight compander", () => {
  it.each(Object.keys(nn.companders) as (keyof typeof nn.companders)[])(
    "%s: an inverse start keeps the function, and bake too",
    async (fn) => {
      const layer = new nn.Linear(3, 2);
      const plain = await outputOf(layer);
      await nn.compand(layer, { fn, init: "inverse", a: 2, b: 1 });
      const companded = await outputOf(layer);
      expect(relativeError(companded, plain)).toBeLessThan(1e-5);
      await nn.bake(layer);
      expect(relativeError(await outputOf(layer), companded)).toBeLessThan(1e-6);
      expect([...layer.namedVariables().keys()]).toEqual(["weight", "bias"]);
    },
  );

  it("never leaves its bound, and starts with a = b = σ at slope 1", async () => {
    const layer = new nn.Linear(3, 2);
    const w = (await layer.weight.data()).toNumbers();
    const mean = w.reduce((a, b) => a + b) / w.length;
    const sigma = Math.sqrt(w.reduce((sum, v) => sum + (v - mean) ** 2, 0) / w.length);
    await nn.compand(layer, { abParam: "direct" });
    const state = await layer.stateDict();
    expect(state.get("parametrizations.0.a")?.toNumbers()[0]).toBeCloseTo(sigma, 6);
    layer.weight.set(NDArray.from([1e4, -1e4, 1e30, 0, 1, -1], "float32", [2, 3]));
    await nn.bake(layer);
    const bounded = (await layer.weight.data()).toNumbers();
    expect(bounded.every((v) => Math.abs(v) <= (sigma * Math.PI) / 2 + 1e-6)).toBe(true);
    expect(bounded[3]).toBe(0);
  });

  it("a pair for each output channel, and layers by query", async () => {
    const model = new nn.Sequential(new nn.Conv2d(2, 3, 3), new nn.Conv2d(3, 1, 1));
    const changed = await nn.compand(model, { scope: "channel", query: "0" });
    expect(changed.map(({ path }) => path)).toEqual(["0"]);
    expect((await model.stateDict()).get("0.parametrizations.0.a")?.shape).toEqual([3, 1, 1, 1]);
  });

  it("gives a and b no decay and a hundredth of the rate", async () => {
    const layer = new nn.Linear(3, 2, { bias: false });
    await nn.compand(layer, { abParam: "direct" });
    layer.weight.set(NDArray.zeros([2, 3]));
    const before = await layer.stateDict();
    const optimizer = optim.sgd(layer.parameters(), {
      learningRate: 1,
      weightDecay: 0.5,
      groups: nn.companderGroups(1),
    });
    await compile(() => {
      optimizer.update(layer.parameters().map((v) => v.mul(0).add(1)));
      return {};
    })({});
    const after = await layer.stateDict();
    const moved = (name: string) =>
      (before.get(name)?.toNumbers()[0] as number) - (after.get(name)?.toNumbers()[0] as number);
    expect(moved("weight")).toBeCloseTo(1, 5);
    expect(moved("parametrizations.0.a")).toBeCloseTo(0.01, 5);
  });

  it("describes the distribution of the weights in use", async () => {
    const layer = new nn.Linear(2, 2);
    layer.weight.set([
      [1, -1],
      [1, -1],
    ]);
    expect(await nn.weightStatistics(layer)).toEqual([{ path: "", kurtosis: 1, nearZero: 0, largest: 1 }]);
  });

  it.each<[string, () => Promise<unknown>, string]>([
    ["a of zero", async () => nn.compand(new nn.Linear(3, 2), { a: 0 }), "expected a to be positive, got 0"],
    ["a negative a under log", async () => nn.compand(new nn.Linear(3, 2), { a: -1 }), "expected a to be positive"],
    ["an infinite b", async () => nn.compand(new nn.Linear(3, 2), { b: Number.POSITIVE_INFINITY }), "expected b"],
    [
      "a layer twice",
      async () => {
        const layer = new nn.Linear(3, 2);
        await nn.compand(layer);
        await nn.compand(layer);
      },
      "companded already",
    ],
    [
      "an inverse start that cuts too much",
      async () => nn.compand(await large(), { init: "inverse", a: 1 }),
      "an a of 5.8",
    ],
    [
      "a query that finds nothing",
      async () => nn.compand(new nn.Linear(3, 2), { query: "conv" }),
      "no layer with a weight",
    ],
    [
      "a function that is not odd",
      async () =>
        nn.compand(new nn.Linear(3, 2), { fn: { ...nn.companders.atan, name: "exp", forward: (v) => v.exp() } }),
      'the function "exp" is not odd',
    ],
    [
      "a function that is not increasing",
      async () =>
        nn.compand(new nn.Linear(3, 2), { fn: { ...nn.companders.atan, name: "sin", forward: (v) => v.sin() } }),
      'the function "sin" is not increasing',
    ],
  ])("refuses %s", async (_, run, message) => {
    await expect(run()).rejects.toThrow(message);
  });
});

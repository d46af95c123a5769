import { describe, expect, it } from "vitest";
import { compile, grad, NDArray, nn, optim, philoxNormal, type Tensor, training } from "../../src/index.js";

const image = (site: string): NDArray =>
  new NDArray(philoxNormal({ seed: 2, site }, 4 * 3 * 64), [4, 3, 8, 8], "float32");
const network = () => {
  const model = nn.cifarResNet({ depth: 8, width: 4, classes: 5 });
  nn.initializeRandomFeatures(model, { seed: 3 });
  return model;
};

/** A few steps of what is trainable, and the state before and after. */
async function trained(model: nn.ResNet) {
  const before = await model.stateDict();
  const optimizer = optim.sgd(model.parameters(), { learningRate: 0.1, momentum: 0.9, weightDecay: 1e-2 });
  const step = compile(({ x, y }) => {
    const loss = nn.crossEntropy(
      training(() => model.apply(x as Tensor)),
      y as Tensor,
    );
    optimizer.update(grad(loss, optimizer.parameters));
    return { loss };
  });
  for (let i = 0; i < 3; i++) await step({ x: image(`${i}`), y: NDArray.from([0, 1, 2, 3], "int32") });
  return { before, after: await model.stateDict(), moments: [...optimizer.state().values()], step };
}

describe("training only a part", () => {
  it.each<[nn.TrainedPart, number, RegExp]>([
    ["bn", 168, /(bn\d|downsample\.1)\.(weight|bias)$/],
    ["bn+output", 253, /((bn\d|downsample\.1)|fc)\.(weight|bias)$/],
    ["output", 85, /^fc\.(weight|bias)$/],
    ["gamma", 84, /(bn\d|downsample\.1)\.weight$/],
    ["beta", 84, /(bn\d|downsample\.1)\.bias$/],
    ["frozen-bn", 4961, /(conv\d|fc|downsample\.0)\.(weight|bias)$/],
  ])(
    "%s: so many parameters, everything else bit for bit as it was, running statistics move",
    async (part, count, names) => {
      const model = network();
      expect(nn.trainOnly(model, part)).toEqual({ trained: count, frozen: 5129 - count });
      const { before, after, moments } = await trained(model);
      const changed = [...after]
        .filter(([path, value]) => !same(value, before.get(path) as NDArray))
        .map(([path]) => path);
      const [statistics, own] = [
        changed.filter((path) => path.includes("running_")),
        changed.filter((path) => !path.includes("running_")),
      ];
      expect(statistics).toHaveLength(18);
      for (const path of own) expect(path).toMatch(names);
      // The bias in front of nothing but a norm hardly moves; the others must.
      expect(own.length).toBeGreaterThan(0);
      expect(moments.reduce((sum, { size }) => sum + size, 0)).toBe(count + 1);
    },
  );

  it("random weights: k of every filter at distinct places, the same for the same seed, the others as they were after baking", async () => {
    const places = async (seed: number) => {
      const model = network();
      const { trained: count } = nn.trainOnly(model, { random: 2, seed });
      return {
        model,
        count,
        chosen: (await model.stateDict()).get("layer2.0.conv1.parametrizations.0.places") as NDArray,
      };
    };
    const [a, b, c] = [await places(1), await places(1), await places(2)];
    expect(a.count).toBe(168);
    expect(a.chosen.toNumbers()).toEqual(b.chosen.toNumbers());
    expect(a.chosen.toNumbers()).not.toEqual(c.chosen.toNumbers());
    const before = (await a.model.stateDict()).get("layer2.0.conv1.weight") as NDArray;
    await trained(a.model);
    await nn.bake(a.model);
    const after = (await a.model.stateDict()).get("layer2.0.conv1.weight") as NDArray;
    const [out, fanIn] = [before.shape[0] as number, before.size / (before.shape[0] as number)];
    const moved = Array.from({ length: before.size }, (_, i) => i).filter((i) => before.at(i) !== after.at(i));
    const allowed = new Set(Array.from({ length: out * 2 }, (_, i) => Math.floor(i / 2) * fanIn + a.chosen.at(i)));
    expect(moved.length).toBeGreaterThan(out);
    expect(moved.every((i) => allowed.has(i))).toBe(true);
  });

  it("a delta holds what was trained and the statistics, and makes the same model of the same start", async () => {
    const model = network();
    nn.trainOnly(model, "bn");
    await trained(model);
    const change = await nn.delta(model);
    expect([...change.values()].reduce((sum, { size }) => sum + size, 0)).toBe(168 + 168);
    const other = network();
    nn.trainOnly(other, "bn");
    nn.applyDelta(other, change);
    expect(await other.stateDict()).toEqual(await model.stateDict());
    nn.trainOnly(other, "bn+output");
    expect(() => nn.applyDelta(other, change)).toThrow('misses "fc.weight"');
    const small = nn.cifarResNet({ depth: 8, width: 8, classes: 5 });
    nn.trainOnly(small, "bn");
    expect(() => nn.applyDelta(small, change)).toThrow("has shape");
  });

  it("reports and prunes features that are switched off", async () => {
    const model = network();
    const gain = model.namedVariables().get("layer1.0.bn1.weight");
    gain?.set([0.5, 0.009, -0.003, 0.02]);
    const report = await nn.featureReport(model);
    expect(report.layers.find(({ path }) => path === "layer1.0.bn1")).toEqual({
      path: "layer1.0.bn1",
      disabled: 2,
      total: 4,
    });
    expect(await nn.pruneDisabled(model)).toBe(report.disabled);
    expect((await gain?.data())?.toNumbers().slice(1, 3)).toEqual([0, 0]);
  });

  it("initialises from the seed alone", async () => {
    expect(await network().stateDict()).toEqual(await network().stateDict());
    const gains = (await network().stateDict()).get("layer3.0.bn1.weight")?.toNumbers() ?? [];
    expect(gains.every((g) => g >= 0 && g < 1)).toBe(true);
  });

  it.each<[string, () => unknown, string]>([
    ["a model without norms", () => nn.trainOnly(new nn.Linear(3, 2), "bn"), "nothing is left to train"],
    [
      "norms that learn nothing",
      () => nn.trainOnly(nn.batchNorm(3, { affine: false }), "bn"),
      "nothing is left to train",
    ],
    ["more weights than a filter has", () => nn.trainOnly(network(), { random: 500 }), "500 cannot be chosen"],
    ["no whole number of weights", () => nn.trainOnly(network(), { random: 0.5 }), "positive whole number"],
  ])("refuses %s", (_, run, message) => {
    expect(run).toThrow(message);
  });
});

const same = (a: NDArray, b: NDArray): boolean => a.toNumbers().every((value, i) => Object.is(value, b.at(i)));

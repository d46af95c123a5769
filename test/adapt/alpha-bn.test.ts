import { describe, expect, it } from "vitest";
import { adapt, compile, NDArray, nn, philoxNormal, type Tensor, training } from "../../src/index.js";
import { relativeError } from "../../src/studies/golden/case.js";

const image = (site: string, batch = 6): NDArray =>
  new NDArray(
    philoxNormal({ seed: 4, site }, batch * 3 * 64).map((z) => 2 * z + 1),
    [batch, 3, 8, 8],
    "float32",
  );
async function trained() {
  const model = nn.cifarResNet({ depth: 8, width: 4, classes: 5 });
  const step = compile(({ x }) => ({ y: training(() => model.apply(x as Tensor)) }));
  for (let i = 0; i < 3; i++) await step({ x: image(`${i}`) });
  return model;
}
const logitsOf = async (model: nn.Module, x: NDArray, isTraining = false) =>
  (
    (
      await compile(({ x }) => ({
        y: isTraining ? training(() => model.apply(x as Tensor)) : model.apply(x as Tensor),
      }))({ x })
    ).y as NDArray
  ).toNumbers();

describe("α-BN", () => {
  it("at 1 is ordinary inference, at 0 the statistics of the batch; a is changed without a new model", async () => {
    const model = await trained();
    const x = image("test");
    const mixed = await adapt.alphaBN(model, { sourceWeight: 1 });
    expect(relativeError(await logitsOf(mixed, x), await logitsOf(model, x))).toBeLessThan(1e-5);
    for (const module of mixed.namedModules().values()) {
      const norm: unknown = module;
      if (norm instanceof adapt.AlphaBatchNorm) norm.source_weight?.set(0);
    }
    const before = await mixed.stateDict();
    const target = await logitsOf(mixed, x);
    expect(await mixed.stateDict()).toEqual(before);
    expect(relativeError(target, await logitsOf(model, x, true))).toBeLessThan(1e-5);
  });

  it("takes one weight per layer, or one from the size of the batch", async () => {
    const model = await trained();
    const x = image("test", 16);
    const prior = await logitsOf(await adapt.alphaBN(model, { sourceWeight: { prior: 16 } }), x);
    expect(relativeError(prior, await logitsOf(await adapt.alphaBN(model, { sourceWeight: 0.5 }), x))).toBeLessThan(
      1e-5,
    );
    const each = Array.from({ length: 9 }, () => 0.5);
    expect(relativeError(prior, await logitsOf(await adapt.alphaBN(model, { sourceWeight: each }), x))).toBeLessThan(
      1e-5,
    );
  });

  it.each<[string, (model: nn.ResNet) => Promise<unknown>, string]>([
    ["a weight beyond 1", (model) => adapt.alphaBN(model, { sourceWeight: 1.2 }), "from 0 to 1, got 1.2"],
    ["too few weights", (model) => adapt.alphaBN(model, { sourceWeight: [0.5] }), "1 source weights for 9 batch norms"],
    ["a model without batch norms", async () => adapt.alphaBN(new nn.Linear(2, 2)), "no batch norm"],
    ["one class", async () => adapt.coreLoss(nn.uninitialized(() => new nn.Linear(1, 1)).weight), "at least 2 classes"],
  ])("refuses %s", async (_, run, message) => {
    const model = await trained();
    await expect(async () => run(model)).rejects.toThrow(message);
  });
});

describe("adapting while testing", () => {
  it("changes gains and biases alone, answers before its update, and can be reset", async () => {
    const model = await trained();
    const original = await model.stateDict();
    const adapted = await adapt.testTimeAdapt(model, { sourceWeight: 0.5 });
    const start = await adapted.model.stateDict();
    const first = await adapted.predict(image("a"));
    const changed = [...(await adapted.model.stateDict())].filter(
      ([path, value]) => relativeError(value.toNumbers(), start.get(path)?.toNumbers() ?? []) > 0,
    );
    expect(changed.length).toBeGreaterThan(0);
    for (const [path] of changed) expect(path).toMatch(/(bn\d|downsample\.1)\.(weight|bias)$/);
    expect((await adapted.predict(image("a"))).logits.toNumbers()).not.toEqual(first.logits.toNumbers());
    await adapted.reset();
    expect((await adapted.predict(image("a"))).logits.toNumbers()).toEqual(first.logits.toNumbers());
    expect(await model.stateDict()).toEqual(original);
    await adapted.release();
  });

  it("episodic: every batch meets the trained model", async () => {
    const adapted = await adapt.testTimeAdapt(await trained(), { loss: "tent", episodic: true, steps: 3 });
    const first = await adapted.predict(image("a"));
    await adapted.predict(image("b"));
    expect(await adapted.predict(image("a"))).toEqual(first);
  });

  it("leaves an update out where the loss is not finite", async () => {
    const adapted = await adapt.testTimeAdapt(await trained(), {
      loss: (logits) => logits.sum().mul(Number.POSITIVE_INFINITY),
    });
    const before = await adapted.model.stateDict();
    const { loss } = await adapted.predict(image("a"));
    expect(Number.isFinite(loss)).toBe(false);
    expect(await adapted.model.stateDict()).toEqual(before);
  });
});

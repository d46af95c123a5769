import { afterEach, describe, expect, it } from "vitest";
import { compile, grad, inference, NDArray, nn, normalArray, type Tensor, training } from "../../src/index.js";

const image = (side: number) => normalArray({ seed: 1, site: "x" }, [2, 3, side, side]);
const conv = (inputs: number, outputs: number, options: nn.ConvLayerOptions = {}) =>
  new nn.Conv2d(inputs, outputs, 3, { padding: 1, ...options });

let said: string[] = [];
nn.onWarning((message) => said.push(message));
afterEach(() => {
  said = [];
});

describe("a model without norms", () => {
  it("has standardised convolutions with biases, its linear layers and activations as they were, and trains", async () => {
    const model = nn.removeNorms(nn.cifarResNet({ depth: 8, width: 4, classes: 5 }));
    expect(said).toEqual([]);
    const modules = [...model.namedModules()] as [string, unknown][];
    expect(modules.filter(([, module]) => module instanceof nn.Norm)).toEqual([]);
    const convolutions = modules.filter((entry): entry is [string, nn.Conv2d] => entry[1] instanceof nn.Conv2d);
    expect(convolutions).toHaveLength(9);
    for (const [, { bias, parametrizations, outputs }] of convolutions) {
      expect(parametrizations).toHaveLength(1);
      expect((await bias?.data())?.toNumbers()).toEqual(Array.from({ length: outputs }, () => 0));
    }
    expect([...model.namedVariables().keys()].filter((path) => path.startsWith("fc."))).toEqual([
      "fc.weight",
      "fc.bias",
    ]);
    expect(model.parameters()).toHaveLength(9 * 3 + 2);
    const { loss, ...gradients } = await compile(({ x }) => {
      const out = training(() => model.apply(x as Tensor));
      const parts = grad(out.square().mean(), model.parameters());
      return { loss: out.square().mean(), ...Object.fromEntries(parts.map((g, i) => [`${i}`, g.abs().max()])) };
    })({ x: image(8) });
    expect((loss as NDArray).item()).toBeGreaterThan(0);
    const { observed: _, ...largest } = gradients;
    for (const value of Object.values(largest)) expect((value as NDArray).item()).toBeGreaterThan(0);
  });

  it("bakes into plain convolutions: the same function", async () => {
    const model = nn.removeNorms(
      new nn.Sequential(conv(3, 4, { bias: false }), nn.batchNorm(4), conv(4, 2), nn.layerNorm(2, { axis: 1 })),
    );
    const outputs = async () =>
      (
        await compile(({ x }) => ({ y: inference(() => model.apply(x as Tensor)) }))({ x: image(6) })
      ).y?.toNumbers() as number[];
    const before = await outputs();
    await nn.bake(model);
    expect([...model.namedVariables().keys()]).toEqual(["0.weight", "0.bias", "2.weight", "2.bias"]);
    for (const [i, value] of (await outputs()).entries()) expect(value).toBeCloseTo(before[i] as number, 5);
  });

  it("has γ, g and ε as asked, and keeps a bias that was there", async () => {
    const model = new nn.Sequential(conv(3, 4), nn.batchNorm(4));
    const bias = await (model.layers[0] as nn.Conv2d).bias?.data();
    nn.removeNorms(model, { gamma: "silu", gain: false, eps: 1e-3 });
    const layer = model.layers[0] as nn.Conv2d;
    expect(layer.parametrizations[0]).toMatchObject({ gamma: nn.activationGains.silu, eps: 1e-3 });
    expect(model.parameters()).toEqual([layer.weight, layer.bias]);
    expect(await layer.bias?.data()).toEqual(bias);
  });

  it("can have its norms taken out and nothing more", () => {
    const model = nn.removeNorms(new nn.Sequential(conv(3, 4, { bias: false }), nn.batchNorm(4)), {
      standardize: false,
    });
    expect([...model.namedVariables().keys()]).toEqual(["0.weight", "0.bias"]);
  });

  it("standardises a convolution without a norm, too, and says so", () => {
    const model = nn.removeNorms(new nn.Sequential(conv(3, 4), nn.batchNorm(4), conv(4, 4)));
    expect(said).toEqual([expect.stringMatching(/no norm is known to follow 2;/)]);
    expect((model.layers[2] as nn.Conv2d).parametrizations).toHaveLength(1);
  });

  it("gives weight 0 and finite gradients to a filter that is constant", async () => {
    const layer = conv(3, 4);
    nn.removeNorms(new nn.Sequential(layer, nn.batchNorm(4)));
    layer.weight.set(
      NDArray.from(
        Array.from({ length: 108 }, () => 0.3),
        "float32",
        [4, 3, 3, 3],
      ),
    );
    layer.bias?.set(NDArray.zeros([4]));
    const { y, g } = await compile(({ x }) => {
      const y = layer.apply(x as Tensor);
      return { y, g: grad(y.square().sum().add(y.sum()), [layer.weight])[0] as Tensor };
    })({ x: image(5) });
    expect(y?.toNumbers().every((v) => Math.abs(v) < 1e-4)).toBe(true);
    expect(g?.toNumbers().every(Number.isFinite)).toBe(true);
  });

  it.each<[string, () => nn.Module, RegExp]>([
    ["without a convolution", () => new nn.Sequential(new nn.Linear(3, 4), nn.batchNorm(4)), /no convolution/],
    [
      "with a 1 × 1 depthwise one",
      () => new nn.Sequential(new nn.Conv2d(4, 4, 1, { groups: 4 }), nn.batchNorm(4)),
      /filters of 0 have a fan-in of 1/,
    ],
    [
      "with a transposed one",
      () => new nn.Sequential(conv(3, 4), new nn.ConvTranspose2d(4, 3, 3)),
      /1 is a transposed/,
    ],
    [
      "with activations in its norms",
      () => new nn.Sequential(conv(3, 4), nn.evoNorm(4)),
      /1 is norm and activation in one/,
    ],
    [
      "that had its norms removed before",
      () => nn.removeNorms(new nn.Sequential(conv(3, 4), nn.batchNorm(4))),
      /0 has a parametrisation already/,
    ],
  ])("is not made of one %s, which stays as it was", (_, make, message) => {
    const model = make();
    const before = [...model.namedVariables().keys()];
    expect(() => nn.removeNorms(model)).toThrow(message);
    expect([...model.namedVariables().keys()]).toEqual(before);
  });
});

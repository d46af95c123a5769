import { describe, expect, it } from "vitest";
import { compile, grad, NDArray, nn, optim, philoxNormal, type Tensor, Variable } from "../../src/index.js";

describe("scaled weight standardisation", () => {
  it("keeps the variance of activations through ReLU, layer after layer", async () => {
    const layers = Array.from({ length: 8 }, () => new nn.Conv2d(32, 32, 3, { padding: 1 }));
    for (const layer of layers) {
      layer.parametrizations.push(new nn.ScaledWeightStandardization(layer));
      layer.bias?.set(NDArray.zeros([32]));
    }
    const x = new NDArray(philoxNormal({ seed: 1, site: "x" }, 4 * 32 * 256), [4, 32, 16, 16], "float32");
    const { y } = await compile(({ x }) => ({
      y: layers.reduce((h, layer, i) => (i === 0 ? layer.apply(h) : layer.apply(h.relu())), x as Tensor),
    }))({ x });
    const inner = (y as NDArray).toNumbers();
    const mean = inner.reduce((a, b) => a + b) / inner.length;
    const variance = inner.reduce((sum, v) => sum + (v - mean) ** 2, 0) / inner.length;
    // Zeros at the border and the mean that filters of mean 0 take away lower it a little; without γ it would be 1e-4.
    expect(variance).toBeGreaterThan(0.2);
    expect(variance).toBeLessThan(3);
  });

  it("bakes into an ordinary convolution, and refuses a fan-in of 1", async () => {
    const layer = new nn.Conv2d(3, 4, 3);
    layer.parametrizations.push(new nn.ScaledWeightStandardization(layer, { gamma: "silu", gain: false }));
    expect(layer.parameters()).toHaveLength(2);
    await nn.bake(layer);
    const w = (await layer.weight.data()).toNumbers().slice(0, 27);
    expect(w.reduce((a, b) => a + b)).toBeCloseTo(0, 5);
    expect(w.reduce((sum, v) => sum + v * v, 0)).toBeCloseTo(nn.activationGains.silu ** 2, 3);
    expect(() => new nn.ScaledWeightStandardization(new nn.Conv2d(4, 4, 1, { groups: 4 }))).toThrow("fan-in 1");
  });
});

describe("adaptive gradient clipping", () => {
  it("keeps what is small, limits what is large unit by unit, and leaves excluded paths alone", async () => {
    const W = new Variable(
      [
        [3, 4],
        [0, 0],
        [1, 0],
      ],
      { name: "layer.weight" },
    );
    const run = async (exclude?: string) =>
      (
        await compile(({ g }) => ({
          c: optim.adaptiveClip([g as Tensor], [W], { clipping: 0.1, ...(exclude && { exclude }) })[0] as Tensor,
        }))({
          g: NDArray.from([
            [0.3, 0.4],
            [3, 4],
            [10, 0],
          ]),
        })
      ).c as NDArray;
    const clipped = (await run()).toNumbers();
    for (const [i, expected] of [0.3, 0.4, 6e-5, 8e-5, 0.1, 0].entries()) expect(clipped[i]).toBeCloseTo(expected, 6);
    expect((await run("layer.*")).toNumbers()[4]).toBe(10);
  });

  it("makes a step finite that would not be", async () => {
    const W = new Variable([[1e-3, 1e-3]], { name: "w" });
    const optimizer = optim.sgd([W], { learningRate: 1 });
    await compile(() => {
      optimizer.update(optim.adaptiveClip(grad(W.mul(1e6).square().sum(), [W]), [W]));
      return {};
    })({});
    expect((await W.data()).toNumbers().every((v) => Math.abs(v) < 2e-3)).toBe(true);
  });

  it.each([
    [{ clipping: 0 }, "positive clipping, got 0"],
    [{ eps: -1 }, "positive eps, got -1"],
  ])("refuses %o", (options, message) => {
    expect(() => optim.adaptiveClip([], [], options)).toThrow(message);
  });
});

import { describe, expect, it } from "vitest";
import { compile, NDArray, nn, normalArray, type Tensor } from "../../src/index.js";

const x = normalArray({ seed: 1, site: "x" }, [4, 16, 12, 12]);
const branch = () =>
  nn.removeNorms(
    new nn.Sequential(new nn.Lambda((h) => h.relu()), new nn.Conv2d(16, 16, 3, { padding: 1 }), nn.batchNorm(16)),
  );
const outputs = async (model: nn.Module) =>
  ((await compile(({ x }) => ({ y: model.apply(x as Tensor) }))({ x })).y as NDArray).toNumbers();
const variance = (values: readonly number[]) => {
  const mean = values.reduce((a, b) => a + b) / values.length;
  return values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / values.length;
};

describe("the normaliser-free residual block", () => {
  it("starts as the identity, and is x + α s f(x / β)", async () => {
    const block = new nn.NormFreeResidual(branch(), { alpha: 0.3, beta: 2 });
    expect(await outputs(block)).toEqual(x.toNumbers());
    block.gain?.set(NDArray.from(0.5));
    const f = await outputs(new nn.Sequential(new nn.Lambda((h) => h.mul(0.5)), block.branch));
    for (const [i, y] of (await outputs(block)).entries()) expect(y).toBeCloseTo(x.at(i) + 0.15 * (f[i] as number), 5);
  });

  it("adds α² to the variance in every block, as its β say", async () => {
    const betas = nn.normFreeDeviations(9, 0.5);
    expect(betas[0]).toBe(1);
    expect(betas[8]).toBeCloseTo(Math.sqrt(3), 12);
    const blocks = betas.slice(0, 8).map((beta) => {
      const layers = branch();
      (layers.layers[1] as nn.Conv2d).bias?.set(NDArray.zeros([16]));
      return new nn.NormFreeResidual(layers, { alpha: 0.5, beta, gain: false });
    });
    const after = variance(await outputs(new nn.Sequential(...blocks)));
    // Zeros at the border take some of it away; without α and β it would be 2⁸.
    expect(after).toBeGreaterThan(2);
    expect(after).toBeLessThan(3.5);
  });

  it("refuses α and β that are not positive, and a branch of another shape", async () => {
    expect(() => new nn.NormFreeResidual(branch(), { alpha: 0 })).toThrow(/a positive alpha, got 0/);
    expect(() => new nn.NormFreeResidual(branch(), { beta: -1 })).toThrow(/a positive beta, got -1/);
    const narrow = new nn.NormFreeResidual(new nn.Conv2d(16, 8, 1));
    await expect(outputs(narrow)).rejects.toThrow(/the branch makes \[4, 8, 12, 12\] of \[4, 16, 12, 12\]/);
  });
});

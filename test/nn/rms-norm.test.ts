import { describe, expect, it } from "vitest";
import { NDArray, nn, type Tensor, zeros } from "../../src/index.js";
import { runOnce } from "../../src/studies/golden/run-once.js";

const x = NDArray.from(
  Array.from({ length: 3 * 6 }, (_, i) => Math.sin(i * 1.3) * 3 + 1),
  "float32",
  [3, 6],
);
const centre = (t: Tensor): Tensor => t.sub(t.mean(-1, { keepDims: true }));

describe("RMSNorm", () => {
  it("reads Gemma's gains as 1 + w with gainOffset 1", async () => {
    const [plain, offset] = [nn.rmsNorm(6), nn.rmsNorm(6, { gainOffset: 1 })];
    plain.weight?.set([1.5, 1, 0.5, 2, 1, 1]);
    offset.weight?.set([0.5, 0, -0.5, 1, 0, 0]);
    const { a, b } = await runOnce({ x }, ({ x: t }) => ({
      a: plain.apply(t as Tensor),
      b: offset.apply(t as Tensor),
    }));
    expect(b?.toNumbers()).toEqual(a?.toNumbers());
  });

  it("starts as the identity gain, with an offset too", async () => {
    expect((await nn.rmsNorm(2, { gainOffset: 1 }).weight?.data())?.toNumbers()).toEqual([0, 0]);
    expect((await nn.rmsNorm(2).weight?.data())?.toNumbers()).toEqual([1, 1]);
  });

  it("is LayerNorm for vectors of mean 0, with the same eps", async () => {
    const [layer, rms] = [nn.layerNorm(6, { eps: 0.25 }), nn.rmsNorm(6, { eps: 0.25 })];
    const { a, b } = await runOnce({ x }, ({ x: t }) => ({
      a: layer.apply(t as Tensor),
      b: rms.apply(centre(t as Tensor)),
    }));
    for (let i = 0; i < x.size; i++) expect(b?.at(i)).toBeCloseTo(a?.at(i) as number, 5);
  });

  it("gives a zero vector zero, not NaN", async () => {
    const { y } = await runOnce({ x: NDArray.zeros([1, 6]) }, ({ x: t }) => ({ y: nn.rmsNorm(6).apply(t as Tensor) }));
    expect(y?.toNumbers()).toEqual([0, 0, 0, 0, 0, 0]);
  });

  it.each([
    [() => nn.rmsNorm(0), "expected a positive whole width"],
    [() => nn.rmsNorm(4, { eps: 0 }), "expected a positive eps"],
    [() => nn.rmsNorm(4, { affine: false, gainOffset: 1 }), "gainOffset needs a gain"],
    [() => nn.rmsNorm(4).apply(zeros([2, 5])), "expected last axis 4, got [2, 5]; was the model built with width 4?"],
    [() => nn.crmsNorm(0), "expected a positive whole number of entries"],
    [() => nn.crmsNorm(3).apply(zeros([2, 4])), "expected last axis 3, got [2, 4]"],
  ])("refuses what cannot be: %s", (make, message) => {
    expect(make).toThrow(message);
  });
});

describe("CRMSNorm", () => {
  it("of the first d − 1 entries of a zero-mean vector is the RMSNorm's first d − 1, exactly with the same eps", async () => {
    const [rms, crms] = [nn.rmsNorm(6, { eps: 0.25, affine: false }), nn.crmsNorm(5, { eps: 0.25 })];
    const { a, b, back } = await runOnce({ x }, ({ x: t }) => {
      const y = crms.apply(nn.compress(centre(t as Tensor)));
      return { a: rms.apply(centre(t as Tensor)), b: y, back: nn.decompress(y) };
    });
    for (let i = 0; i < x.size; i++) expect(back?.at(i)).toBeCloseTo(a?.at(i) as number, 5);
    expect(b?.shape).toEqual([3, 5]);
  });
});

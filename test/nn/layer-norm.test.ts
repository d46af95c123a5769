import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { NDArray as Array_, compile, type NDArray, nn, tensor, zeros } from "../../src/index.js";
import { namedGradients, runOnce } from "../../src/studies/golden/run-once.js";
import type { Tensor } from "../../src/tensor/index.js";

const [cases, inputs, neurons] = [4, 6, 5];
/** Numbers in [-2, 2] of ordinary size: floats drawn bit by bit are mostly next to 0. */
const numbers = (length: number) =>
  fc.array(
    fc.integer({ min: -1000, max: 1000 }).map((n) => n / 500),
    { minLength: length, maxLength: length },
  );
const largest = (a: NDArray, b: NDArray): number => Math.max(...a.toNumbers().map((x, i) => Math.abs(x - b.at(i))));

describe("LayerNorm(W x)", () => {
  const norm = nn.layerNorm(neurons, { eps: 1e-12, affine: false });
  const program = compile(({ x, w }: { x: Tensor; w: Tensor }) => ({ y: norm.apply(x.matmul(w.transpose())) }));
  const apply = async (x: number[], w: number[]) =>
    (await program({ x: Array_.from(x, "float32", [cases, inputs]), w: Array_.from(w, "float32", [neurons, inputs]) }))
      .y;

  /** Random data and weights whose summed inputs are not all alike in any case: there the limit ε → 0 is not reached. */
  const property = (name: string, change: (x: number[], w: number[], d: number) => [number[], number[]]) =>
    it(name, () =>
      fc.assert(
        fc.asyncProperty(
          numbers(cases * inputs),
          numbers(neurons * inputs),
          fc.integer({ min: 1, max: 16 }).map((n) => n / 4),
          async (x, w, d) => {
            fc.pre(spread(x, w) > 0.3);
            const [x2, w2] = change(x, w, d);
            expect(largest(await apply(x, w), await apply(x2, w2))).toBeLessThan(1e-4);
          },
        ),
        { numRuns: 40 },
      ),
    );

  property("does not change when all weights are scaled", (x, w, d) => [x, w.map((v) => v * d)]);
  property("does not change when one vector is added to every neuron's weights", (x, w, d) => [
    x,
    w.map((v, i) => v + d * Math.sin(i % inputs)),
  ]);
  property("does not change when a single case is scaled", (x, w, d) => [x.map((v, i) => (i < inputs ? v * d : v)), w]);
  property("does not change when the whole data set is scaled", (x, w, d) => [x.map((v) => v * d), w]);

  const x = Array.from({ length: cases * inputs }, (_, i) => Math.sin(i * 1.7));
  const w = Array.from({ length: neurons * inputs }, (_, i) => Math.cos(i * 2.3));
  it("changes when one neuron's weights are scaled", async () => {
    expect(
      largest(
        await apply(x, w),
        await apply(
          x,
          w.map((v, i) => (i < inputs ? 3 * v : v)),
        ),
      ),
    ).toBeGreaterThan(0.1);
  });
  it("changes when the data are shifted", async () => {
    expect(
      largest(
        await apply(x, w),
        await apply(
          x.map((v) => v + 1),
          w,
        ),
      ),
    ).toBeGreaterThan(0.1);
  });
  it("gives a case the same output alone and in a batch", async () => {
    const whole = await apply(x, w);
    const other = await apply([...x.slice(0, inputs), ...x.slice(inputs).map((v) => v * 100)], w);
    expect(other.toNumbers().slice(0, neurons)).toEqual(whole.toNumbers().slice(0, neurons));
  });
});

/** Smallest spread of the summed inputs of any case. */
function spread(x: readonly number[], w: readonly number[]): number {
  const sums = (c: number) =>
    Array.from({ length: neurons }, (_, n) => {
      let sum = 0;
      for (let i = 0; i < inputs; i++) sum += (x[c * inputs + i] as number) * (w[n * inputs + i] as number);
      return sum;
    });
  return Math.min(...Array.from({ length: cases }, (_, c) => Math.max(...sums(c)) - Math.min(...sums(c))));
}

describe("LayerNorm at the edges", () => {
  it.each([
    ["an empty shape", [], {}, "normalizedShape is empty"],
    ["one feature", 1, {}, "one element minus its own mean is always 0"],
    ["one feature of three axes", [1, 1, 1], {}, "normalise over more features"],
    ["a fractional axis", [2.5], {}, "expected positive whole axes"],
    ["eps 0", 4, { eps: 0 }, "expected a positive eps, got 0"],
    ["a negative eps", 4, { eps: -1e-5 }, "expected a positive eps"],
    ["eps NaN", 4, { eps: Number.NaN }, "expected a positive eps"],
    ["a bias without a gain", 4, { affine: false, bias: true }, "bias: true needs affine: true"],
  ] as const)("refuses %s", (_, shape, options, message) => {
    expect(() => nn.layerNorm(shape as number | number[], options)).toThrow(message);
  });

  it("names both shapes when the trailing axes are others", () => {
    expect(() => nn.layerNorm(384).apply(zeros([8, 256, 512]))).toThrow(
      "expected the last axis to be [384], got [8, 256, 512]",
    );
    expect(() => nn.layerNorm([4, 5]).apply(zeros([5]))).toThrow("expected the last 2 axes to be [4, 5], got [5]");
  });

  it("refuses a gain of another shape, naming it", () => {
    const values = new Map([
      ["weight", Array_.zeros([5])],
      ["bias", Array_.zeros([4])],
    ]);
    expect(() => nn.layerNorm(4).loadStateDict(values)).toThrow('"weight" has shape [4], the value [5]');
  });

  it("gives a constant case its bias, and the gradient (g dy − mean) / √ε", async () => {
    const norm = nn.layerNorm(4);
    norm.bias?.set([1, 2, 3, 4]);
    const dy = [1, -2, 0.5, 3];
    const { y, "grad.x": dx } = await runOnce({ x: [[7, 7, 7, 7]] }, ({ x }) => {
      const out = norm.apply(x as Tensor);
      return { y: out, ...namedGradients(out.mul(tensor(dy)).sum(), norm, { x: x as Tensor }) };
    });
    expect(y?.toNumbers()).toEqual([1, 2, 3, 4]);
    const mean = dy.reduce((a, b) => a + b) / 4;
    for (const [i, g] of dy.entries()) expect(dx?.at(i)).toBeCloseTo((g - mean) / Math.sqrt(1e-5), 1);
  });

  it("keeps a NaN inside its own case", async () => {
    const { y } = await runOnce(
      {
        x: [
          [1, 2, 3, Number.NaN],
          [1, 2, 3, 4],
        ],
      },
      ({ x }) => ({ y: nn.layerNorm(4).apply(x as Tensor) }),
    );
    expect(y?.toNumbers().map(Number.isNaN)).toEqual([true, true, true, true, false, false, false, false]);
  });

  it("keeps all digits when the mean is far above the spread", async () => {
    const { y } = await runOnce({ x: [[10000, 10001, 10002, 10003]] }, ({ x }) => ({
      y: nn.layerNorm(4).apply(x as Tensor),
    }));
    for (const [i, v] of [-3, -1, 1, 3].entries()) expect(y?.at(i)).toBeCloseTo(v / Math.sqrt(5), 4);
  });

  it("takes its statistics in float32 for float16: 300² does not fit into it", async () => {
    const x = Array_.from([300, -300, 500, -500], "float16", [1, 4]);
    for (const norm of [nn.layerNorm(4, { affine: false }), nn.rmsNorm(4, { affine: false }), nn.crmsNorm(4)]) {
      const { y } = await runOnce({ x }, ({ x: input }) => ({ y: norm.apply(input as Tensor) }));
      expect(y?.dtype).toBe("float16");
      expect(Math.abs(y?.at(2) ?? 0)).toBeCloseTo(
        500 / Math.sqrt((2 * 300 ** 2 + 2 * 500 ** 2) / (norm instanceof nn.CRMSNorm ? 5 : 4)),
        2,
      );
    }
  });
});

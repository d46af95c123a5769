import { describe, expect, it } from "vitest";
import { compile, grad, NDArray, nn, normalArray, type Tensor, tensor, training } from "../../src/index.js";

const draw = (site: string, shape: readonly number[]) => normalArray({ seed: 5, site }, shape);

const stepOf = (norm: nn.PowerNorm) =>
  compile(({ x }: { x: Tensor }) => {
    const y = training(() => norm.apply(x));
    const [dx] = grad(y.square().sum(), [x]);
    return { y, dx: dx as Tensor };
  });

describe("power norm", () => {
  it("divides a fixed probe by nearly the same from step to step, where BatchNorm does not", async () => {
    const change = async (norm: nn.Norm): Promise<number> => {
      const step = compile(({ x }: { x: Tensor }) => {
        const y = training(() => norm.apply(x));
        const gradients = grad(y.square().sum(), norm.parameters());
        return { probe: y.slice({ end: 1 }), norm: gradients[0] as Tensor };
      });
      const probe = draw("probe", [1, 8, 6]).toNumbers();
      let [before, changes] = [undefined as number[] | undefined, [] as number[]];
      for (let i = 0; i < 120; i++) {
        const scale = 1 + (i % 3);
        const others = draw(`others ${i}`, [3, 8, 6])
          .toNumbers()
          .map((v) => v * scale);
        const now = (await step({ x: NDArray.from([...probe, ...others], "float32", [4, 8, 6]) })).probe.toNumbers();
        if (before && i > 60) {
          const size = Math.hypot(...before);
          changes.push(Math.hypot(...now.map((v, j) => v - ((before as number[])[j] as number))) / size);
        }
        before = now;
      }
      await step.release();
      return changes.reduce((a, b) => a + b) / changes.length;
    };
    const power = await change(nn.powerNorm(6, { groups: 0, warmupIters: 20 }));
    expect(await change(nn.batchNorm(6, { axis: -1 }))).toBeGreaterThan(4 * power);
    expect(await change(nn.powerNorm(6, { groups: 0, variant: "pn-v" }))).toBeGreaterThan(4 * power);
  });

  it("of the variant pn-v has the exact derivative of this batch's quadratic mean, over real positions", async () => {
    const norm = nn.powerNorm(4, { variant: "pn-v", groups: 2 });
    const x = draw("x", [2, 3, 4]);
    const padding = NDArray.from([1, 1, 1, 1, 0, 0], "bool", [2, 3]);
    const weights = draw("w", [2, 3, 4]);
    const run = compile((inputs: Record<"x" | "padding" | "w", Tensor>) => {
      const loss = training(() =>
        nn.withInputs({ padding: inputs.padding }, () => norm.apply(inputs.x).mul(inputs.w).sum()),
      );
      return { loss, dx: grad(loss, [inputs.x])[0] as Tensor };
    });
    const at = async (values: readonly number[]) =>
      (await run({ x: NDArray.from(values, "float32", [2, 3, 4]), padding, w: weights })).loss.item();
    const { dx } = await run({ x, padding, w: weights });
    const base = x.toNumbers();
    for (let i = 0; i < base.length; i++) {
      const moved = (by: number) => base.map((v, j) => (j === i ? v + by : v));
      const slope = ((await at(moved(2e-3))) - (await at(moved(-2e-3)))) / 4e-3;
      expect(Math.abs(slope - dx.at(i))).toBeLessThan(5e-3 * Math.max(1, Math.abs(slope)));
    }
    await run.release();
  });

  it("works on one token, zeros, no warm-up, images, and resumes exactly", async () => {
    const make = () => nn.powerNorm(4, { warmupIters: 3, groups: 2, axis: 1 });
    const [whole, first, second] = [make(), make(), make()];
    const run = async (norm: nn.PowerNorm, from: number, to: number) => {
      const step = stepOf(norm);
      const seen = [];
      for (let i = from; i < to; i++) {
        const { y, dx } = await step({ x: draw(`x${i}`, [2, 4, 1, 3]) });
        seen.push(y.toNumbers(), dx.toNumbers());
      }
      await step.release();
      return seen;
    };
    const all = await run(whole, 0, 7);
    await run(first, 0, 4);
    second.loadStateDict(await first.stateDict());
    expect(await run(second, 4, 7)).toEqual(all.slice(8));
    const eager = nn.powerNorm(4, { warmupIters: 0 });
    const step = stepOf(eager);
    for (const x of [NDArray.zeros([1, 4]), draw("one", [1, 4])]) {
      const { y, dx } = await step({ x });
      expect([...y.toNumbers(), ...dx.toNumbers()].every(Number.isFinite)).toBe(true);
    }
    await step.release();
  });

  it("refuses what it cannot do", () => {
    const refused: [() => unknown, string][] = [
      [() => nn.powerNorm(6, { groups: 4 }), "groups to divide 6 channels (0: no layer-scale), got 4"],
      [() => nn.powerNorm(6, { alphaFwd: 1 }), "alphaFwd between 0 and 1, got 1"],
      [() => nn.powerNorm(6, { alphaBkw: 0 }), "alphaBkw between 0 and 1, got 0"],
      [() => nn.powerNorm(6, { eps: -1 }), "PowerNorm: expected"],
      [() => nn.powerNorm(6, { warmupIters: -2 }), "warmupIters of at least 0, got -2"],
      [() => nn.powerNorm(6).apply(tensor([[1, 2]])), "expected […, 6], got [1, 2]"],
    ];
    for (const [act, message] of refused) expect(act).toThrow(message);
    const norm = nn.powerNorm(2);
    const wrong = compile(({ x, padding }: { x: Tensor; padding: Tensor }) => ({
      y: training(() => nn.withInputs({ padding }, () => norm.apply(x))),
    }));
    return expect(wrong({ x: draw("x", [1, 3, 2]), padding: NDArray.zeros([1, 2], "bool") })).rejects.toThrow(
      "expected bool [batch, tokens]",
    );
  });
});

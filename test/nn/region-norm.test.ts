/** Region norm: what each region becomes, that holes of any size are harmless, what is refused. */
import { describe, expect, it } from "vitest";
import { compile, grad, inference, NDArray, nn, philoxNormal, type Tensor, training } from "../../src/index.js";
import { relativeError } from "../../src/studies/golden/case.js";

const normal = (shape: number[], site = "x", scale = 1, shift = 0): NDArray =>
  NDArray.from(
    Array.from(
      philoxNormal(
        { seed: 7, site },
        shape.reduce((a, b) => a * b),
      ),
      (z) => scale * z + shift,
    ),
    "float32",
    shape,
  );
/** [B, 1, H, W] with 1 where `is` says so. */
const maskOf = (B: number, H: number, W: number, is: (b: number, y: number, x: number) => boolean): NDArray =>
  NDArray.from(
    Array.from({ length: B * H * W }, (_, i) => Number(is(Math.floor(i / (H * W)), Math.floor(i / W) % H, i % W))),
    "float32",
    [B, 1, H, W],
  );
const numbers = (array: NDArray | undefined) => (array as NDArray).toNumbers();

/** Output and dx of a layer in a mode, the mask as side input. */
async function run(layer: nn.Norm, x: NDArray, mask?: NDArray, mode = training) {
  const up = normal([...x.shape], "up");
  const program = compile((inputs: Record<string, Tensor>) => {
    const [x, up] = [inputs.x as Tensor, inputs.up as Tensor];
    const y = mode(() => nn.withInputs({ region: inputs.mask }, () => layer.apply(x)));
    return { y, dx: grad(y.mul(up).sum(), [x])[0] as Tensor };
  });
  const { y, dx } = await program(mask ? { x, up, mask } : { x, up });
  await program.release();
  return { y, dx };
}

const [B, C, H, W] = [3, 2, 8, 6];
const x = normal([B, C, H, W], "x", 2, 5);
const half = maskOf(B, H, W, (b, y, x) => (b + y * x) % 3 === 0);

describe("RN-B", () => {
  it("gives both regions mean 0 and variance 1, whatever fills the hole", async () => {
    const filled = NDArray.from(
      numbers(x).map((value, i) =>
        half.at(Math.floor(i / (C * H * W)) * H * W + (i % (H * W))) ? 100 + value : value,
      ),
      "float32",
      x.shape,
    );
    const [first, second] = [await run(nn.regionNorm(C), x, half), await run(nn.regionNorm(C), filled, half)];
    expect(relativeError(numbers(second.y), numbers(first.y))).toBeLessThan(1e-4);
    for (const region of [0, 1])
      for (let c = 0; c < C; c++) {
        const values = numbers(first.y).filter(
          (_, i) =>
            Math.floor(i / (H * W)) % C === c &&
            half.at(Math.floor(i / (C * H * W)) * H * W + (i % (H * W))) === region,
        );
        const mean = values.reduce((a, b) => a + b) / values.length;
        expect(Math.abs(mean)).toBeLessThan(1e-5);
        expect(values.reduce((sum, v) => sum + v * v, 0) / values.length).toBeCloseTo(1, 4);
      }
  });

  it.each([
    ["all hole", () => true],
    ["all valid", () => false],
  ])("%s: is batch norm, finite also backward", async (_, is) => {
    const { y, dx } = await run(nn.regionNorm(C), x, maskOf(B, H, W, is));
    const reference = await run(nn.batchNorm(C), x);
    expect(relativeError(numbers(y), numbers(reference.y))).toBeLessThan(1e-5);
    expect(relativeError(numbers(dx), numbers(reference.dx))).toBeLessThan(1e-5);
  });

  it("works with a hole that vanishes in the feature map, and with regions of one value", async () => {
    const tiny = maskOf(B, 4 * H, 4 * W, (b, y, x) => b === 0 && y === 1 && x === 1); // rows 0, 4, 8, … are kept
    const reference = await run(nn.batchNorm(C), x);
    const vanished = await run(nn.regionNorm(C), x, tiny);
    expect(relativeError(numbers(vanished.y), numbers(reference.y))).toBeLessThan(1e-5);
    const single = await run(
      nn.regionNorm(C),
      x,
      maskOf(B, H, W, (b, y, x) => b + y + x === 0),
    );
    expect([...numbers(single.y), ...numbers(single.dx)].every(Number.isFinite)).toBe(true);
    const constant = await run(nn.regionNorm(C), NDArray.zeros([B, C, H, W]), half);
    expect([...numbers(constant.y), ...numbers(constant.dx)].every(Number.isFinite)).toBe(true);
  });

  it("is the same in training and inference, and for each sample alone with instance statistics", async () => {
    const layer = nn.regionNorm(C, { statistics: "instance" });
    const { y } = await run(layer, x, half);
    expect(numbers((await run(layer, x, half, inference)).y)).toEqual(numbers(y));
    const size = C * H * W;
    const alone = NDArray.from(numbers(x).slice(0, size), "float32", [1, C, H, W]);
    const mask = NDArray.from(numbers(half).slice(0, H * W), "float32", [1, 1, H, W]);
    for (const statistics of ["batch", "instance"] as const) {
      const one = await run(nn.regionNorm(C, { statistics }), alone, mask);
      expect(relativeError(numbers(one.y), numbers(y).slice(0, size))).toBeLessThan(1e-5);
    }
  });

  it("hardens a soft mask, takes a bool one, and never weighs by it", async () => {
    const soft = NDArray.from(
      numbers(half).map((m) => m * 0.25),
      "float32",
      half.shape,
    );
    const { y } = await run(nn.regionNorm(C), x, half);
    expect(numbers((await run(nn.regionNorm(C), x, soft)).y)).toEqual(numbers(y));
    expect(numbers((await run(nn.regionNorm(C), x, half.cast("bool"))).y)).toEqual(numbers(y));
  });

  it("refuses a mask that is missing, of another batch or of three channels", async () => {
    const layer = nn.regionNorm(C);
    await expect(run(layer, x)).rejects.toThrow("give it as withInputs({ region: mask }");
    await expect(
      run(
        layer,
        x,
        maskOf(2, H, W, () => true),
      ),
    ).rejects.toThrow("expected a mask [3, 1, height, width] (1 = hole) for features [3, 2, 8, 6], got [2, 1, 8, 6]");
    await expect(run(layer, x, NDArray.zeros([3, 3, H, W]))).rejects.toThrow("got [3, 3, 8, 6]");
    await expect(run(layer, normal([B, 5, H, W]), half)).rejects.toThrow("expected [batch, 2, …]");
    await expect(run(layer, normal([B, C, H]), half)).rejects.toThrow("expected [batch, channels, height, width]");
  });
});

describe("RN-L", () => {
  it("is plain batch norm with a map of gains and biases where nothing passes the threshold", async () => {
    const layer = nn.regionNorm(C, { kind: "learnable", threshold: 0.99, kernelSize: 3 });
    layer.loadStateDict(new Map([...layer.namedVariables()].map(([path, { shape }]) => [path, NDArray.zeros(shape)])));
    const [ours, plain] = [await run(layer, x), await run(nn.batchNorm(C), x)];
    expect(relativeError(numbers(ours.y), numbers(plain.y))).toBeLessThan(1e-5);
    expect(relativeError(numbers(ours.dx), numbers(plain.dx))).toBeLessThan(1e-5);
  });

  it("finds a region that can be looked at, and follows the gradient's difference quotient", async () => {
    const layer = nn.regionNorm(C, { kind: "learnable", threshold: 0.5, kernelSize: 3 }) as nn.LearnableRegionNorm;
    const small = normal([1, C, 5, 5], "small");
    const up = normal([1, C, 5, 5], "up");
    const program = compile(({ x, up }: { x: Tensor; up: Tensor }) => {
      const { mask, importance } = layer.regions(x);
      const loss = layer.apply(x).mul(up).sum();
      return { loss, mask, importance, dw: grad(loss, [layer.sa.conv1.weight])[0] as Tensor };
    });
    const { mask, importance, dw } = await program({ x: small, up });
    expect(numbers(mask)).toEqual(numbers(importance).map((s) => Number(s >= 0.5)));
    expect(new Set(numbers(mask)).size).toBe(2);
    const w = await layer.sa.conv1.weight.data();
    const [h, at] = [1e-3, 7];
    const lossAt = async (shift: number) => {
      layer.sa.conv1.weight.set(
        NDArray.from(
          w.toNumbers().map((v, i) => (i === at ? v + shift : v)),
          "float32",
          w.shape,
        ),
      );
      const result = await program({ x: small, up });
      expect(numbers(result.mask)).toEqual(numbers(mask)); // else the quotient would see a jump
      return result.loss.item();
    };
    const quotient = ((await lossAt(h)) - (await lossAt(-h))) / (2 * h);
    await program.release();
    expect(Math.abs(quotient - (dw.toNumbers()[at] as number))).toBeLessThan(
      0.02 * Math.max(...numbers(dw).map(Math.abs)),
    );
  });

  it.each([
    [{ threshold: 0 }, "threshold between 0 and 1, got 0"],
    [{ threshold: 1 }, "threshold between 0 and 1, got 1"],
    [{ threshold: Number.NaN }, "threshold between 0 and 1, got NaN"],
    [{ kernelSize: 5 as 3 }, "kernel of 3 or 7, got 5"],
    [{ eps: 0 }, "eps"],
    [{ statistics: "layer" as "batch" }, 'expected statistics "batch" or "instance", got "layer"'],
  ])("refuses %o", (options, message) => {
    expect(() => nn.regionNorm(4, { kind: "learnable", ...options })).toThrow(message);
  });
});

describe("region norms in a model", () => {
  const model = () =>
    new nn.Sequential(
      new nn.Conv2d(3, 4, 3, { padding: 1 }),
      nn.batchNorm(4),
      new nn.ReLU(),
      new nn.Conv2d(4, 6, 4, { stride: 2, padding: 1 }),
      nn.instanceNorm(6, { affine: true }),
      new nn.ReLU(),
      new nn.Conv2d(6, 6, 3, { padding: 1 }),
      nn.batchNorm(6),
    );

  it("take the place of batch and instance norms: RN-B first, then RN-L", async () => {
    const changed = nn.swapNorms(model(), nn.regionNorms({ firstN: 2, threshold: 0.5 }));
    const [a, b, c] = [changed[1], changed[4], changed[7]] as unknown[];
    expect([a, b].every((norm) => norm instanceof nn.BasicRegionNorm)).toBe(true);
    expect(c).toBeInstanceOf(nn.LearnableRegionNorm);
    expect((c as nn.LearnableRegionNorm).threshold).toBe(0.5);
    const program = compile(({ x, region }: { x: Tensor; region: Tensor }) => ({
      y: training(() => nn.withInputs({ region }, () => changed.apply(x))),
    }));
    const { y } = await program({ x: normal([2, 3, 8, 8]), region: maskOf(2, 8, 8, (_, y, x) => y > 2 && x > 4) });
    await program.release();
    expect(y.shape).toEqual([2, 6, 4, 4]);
    expect(numbers(y).every(Number.isFinite)).toBe(true);
  });

  it("refuse channels last, and a count that is none", () => {
    expect(() => nn.swapNorms(nn.block(8, { heads: 2 }), nn.regionNorms({ firstN: 1 }))).toThrow("channels second");
    expect(() => nn.regionNorms({ firstN: -1 })).toThrow("firstN to be a whole number of at least 0, got -1");
  });

  it("see the mask again when activations are recomputed", async () => {
    const make = (again: boolean) => {
      const changed = nn.swapNorms(model(), nn.regionNorms({ firstN: 3 }));
      nn.initialize(changed, { seed: 1 });
      nn.kaiming(changed, { seed: 1 });
      for (const [path, variable] of changed.namedVariables())
        if (path.endsWith("bias")) variable.set(NDArray.zeros(variable.shape));
      return again ? nn.recompute(changed) : changed;
    };
    const [plain, again] = [make(false), make(true)];
    const of = async (m: nn.Sequential) => {
      const program = compile(({ x, region }: { x: Tensor; region: Tensor }) => {
        const y = training(() => nn.withInputs({ region }, () => m.apply(x)));
        return { dx: grad(y.square().mul(y).sum(), [x])[0] as Tensor };
      });
      const { dx } = await program({ x: normal([2, 3, 8, 8]), region: maskOf(2, 8, 8, (_, y) => y > 3) });
      await program.release();
      return numbers(dx);
    };
    expect(relativeError(await of(again), await of(plain))).toBeLessThan(1e-6);
  });
});

describe("masks on the host", () => {
  it("of zeros and ones pass; anything else is named with its place", () => {
    expect(nn.checkHoles(half)).toBe(half);
    const soft = NDArray.from([0, 1, 0, 0, 0, 0.5, 1, 1], "float32", [2, 1, 2, 2]);
    expect(() => nn.checkHoles(soft)).toThrow("got 0.5 in sample 1 at row 0, column 1; threshold the mask first");
    expect(() => nn.checkHoles(NDArray.from([Number.NaN], "float32", [1, 1, 1, 1]))).toThrow("got NaN in sample 0");
    expect(() => nn.checkHoles(NDArray.zeros([1, 3, 2, 2]))).toThrow("expected [batch, 1, height, width]");
  });
});

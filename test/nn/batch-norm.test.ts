import { describe, expect, it } from "vitest";
import { compile, grad, inference, NDArray, nn, philoxNormal, type Tensor, training } from "../../src/index.js";
import { relativeError } from "../../src/studies/golden/case.js";

const values = (shape: number[], site = "x"): NDArray =>
  new NDArray(
    philoxNormal(
      { seed: 1, site },
      shape.reduce((a, b) => a * b),
    ),
    shape,
    "float32",
  );
const numbers = (array: NDArray | undefined): number[] => (array as NDArray).toNumbers();
const mean = (list: readonly number[]) => list.reduce((a, b) => a + b, 0) / list.length;

/** Channel c of [2, 3, 2, 2]. */
const channel = (x: readonly number[], c: number) => x.filter((_, i) => Math.floor(i / 4) % 3 === c);

describe("batch norm", () => {
  it("normalises a batch, follows its statistics, and uses them in inference", async () => {
    const norm = nn.batchNorm(3);
    const [train, infer] = [
      compile(({ x }) => ({ y: training(() => norm.apply(x as Tensor)) })),
      compile(({ x }) => ({ y: inference(() => norm.apply(x as Tensor)) })),
    ];
    const x = values([2, 3, 2, 2]);
    const y = numbers((await train({ x })).y);
    for (const c of [0, 1, 2]) {
      const own = channel(x.toNumbers(), c);
      const variance = mean(own.map((v) => (v - mean(own)) ** 2));
      expect(
        relativeError(
          channel(y, c),
          own.map((v) => (v - mean(own)) / Math.sqrt(variance + 1e-5)),
        ),
      ).toBeLessThan(1e-5);
      expect((await norm.running_mean.data()).toNumbers()[c]).toBeCloseTo(0.1 * mean(own), 6);
      expect((await norm.running_var.data()).toNumbers()[c]).toBeCloseTo(0.9 + (0.1 * variance * 8) / 7, 5);
    }
    const before = await norm.stateDict();
    const again = channel(numbers((await infer({ x })).y), 1);
    const [m, v] = ["running_mean", "running_var"].map((key) => before.get(key)?.toNumbers()[1] as number);
    expect(
      relativeError(
        again,
        channel(x.toNumbers(), 1).map((a) => (a - (m as number)) / Math.sqrt((v as number) + 1e-5)),
      ),
    ).toBeLessThan(1e-5);
    expect(await norm.stateDict()).toEqual(before);
  });

  it("counts only real positions where there is padding", async () => {
    const norm = nn.batchNorm(2, { axis: -1 });
    const run = compile(({ x, padding }) => ({
      y: training(() => nn.withInputs({ padding: padding as Tensor }, () => norm.apply(x as Tensor))),
    }));
    const x = values([2, 3, 2]);
    const real = [true, true, false, true, false, false];
    const { y } = await run({ x, padding: NDArray.from(real.map(Number), "bool", [2, 3]) });
    for (const c of [0, 1]) {
      const own = real.flatMap((isReal, i) => (isReal ? [numbers(y)[i * 2 + c] as number] : []));
      expect(mean(own)).toBeCloseTo(0, 5);
      expect(mean(own.map((v) => v * v))).toBeCloseTo(1, 3);
    }
  });

  it("moves its statistics on with every micro-batch of one program, and once under recomputation", async () => {
    const [twice, plain, again] = [nn.batchNorm(2), nn.batchNorm(2), nn.recompute(nn.batchNorm(2))];
    const [a, b] = [values([4, 2, 1, 1], "a"), values([4, 2, 1, 1], "b")];
    await compile(({ a, b }) => ({
      y: training(() => twice.apply(a as Tensor).add(twice.apply(b as Tensor))),
    }))({ a, b });
    const each = compile(({ x }) => ({ y: training(() => plain.apply(x as Tensor)) }));
    await each({ x: a });
    await each({ x: b });
    expect(
      relativeError(
        numbers((await twice.stateDict()).get("running_var")),
        numbers((await plain.stateDict()).get("running_var")),
      ),
    ).toBeLessThan(1e-6);
    await compile(({ x }) => ({
      g: training(
        () =>
          grad(
            again
              .apply(x as Tensor)
              .square()
              .sum(),
            [x as Tensor],
          )[0] as Tensor,
      ),
    }))({ x: a });
    const fresh = nn.batchNorm(2);
    await compile(({ x }) => ({ y: training(() => fresh.apply(x as Tensor)) }))({ x: a });
    expect(await again.stateDict()).toEqual(await fresh.stateDict());
  });

  it("with frozen statistics is the same in training, and changes nothing", async () => {
    const norm = nn.batchNorm(3);
    norm.statistics = "running";
    const before = await norm.stateDict();
    const x = values([2, 3, 2, 2]);
    const { y } = await compile(({ x }) => ({ y: training(() => norm.apply(x as Tensor)) }))({ x });
    expect(
      relativeError(
        numbers(y),
        x.toNumbers().map((v) => v / Math.sqrt(1 + 1e-5)),
      ),
    ).toBeLessThan(1e-6);
    expect(await norm.stateDict()).toEqual(before);
  });

  it("refuses one value per channel in training, and other channels", async () => {
    const norm = nn.batchNorm(3);
    const run = (shape: number[]) =>
      compile(({ x }) => ({ y: training(() => norm.apply(x as Tensor)) }))({ x: values(shape) });
    await expect(run([1, 3, 1, 1])).rejects.toThrow("one value per channel");
    await expect(run([2, 4, 1, 1])).rejects.toThrow("expected [batch, 3, …], got [2, 4, 1, 1]");
  });
});

describe("norms by name", () => {
  it.each(nn.normKinds)("%s: channels last and first give the same", async (name) => {
    const make = nn.normFactory(name);
    const [last, first] = [make(6, -1), make(6, 1)];
    const x = values([2, 3, 4, 6]);
    const { y, z } = await compile(({ x }) => ({
      y: training(() => last.apply(x as Tensor)),
      z: training(() => first.apply((x as Tensor).transpose([0, 3, 1, 2])).transpose([0, 2, 3, 1])),
    }))({ x });
    expect(relativeError(numbers(z), numbers(y))).toBeLessThan(1e-5);
  });

  it("any norm takes the place of any other by one value", async () => {
    const model = nn.block(8, { heads: 2, norm: "layer" });
    for (const name of nn.normKinds) {
      nn.swapNorms(model, name);
      const { y } = await compile(({ x }) => ({ y: training(() => model.apply(x as Tensor)) }))({
        x: values([2, 3, 8]),
      });
      expect(numbers(y).every(Number.isFinite), name).toBe(true);
    }
  });
});

describe("folding", () => {
  it("takes batch norms into the convolutions and linear layers before them, exactly", async () => {
    const model = new nn.Sequential(
      new nn.Conv2d(3, 4, 3, { padding: 1, bias: false, stride: 2 }),
      nn.batchNorm(4),
      new nn.Lambda((x) => x.relu()),
      new nn.Conv2d(4, 6, 1, { groups: 2 }),
      nn.batchNorm(6),
      new nn.Lambda((x) => x.mean([2, 3])),
      new nn.Linear(6, 5),
      nn.batchNorm(5, { axis: -1 }),
    );
    const train = compile(({ x }) => ({ y: training(() => model.apply(x as Tensor)) }));
    for (let i = 0; i < 3; i++) await train({ x: values([4, 3, 6, 6], `${i}`) });
    const { model: folded, folded: paths } = await nn.foldNorms(model);
    expect(paths).toEqual(["1", "4", "7"]);
    expect([...folded.namedVariables().keys()].filter((name) => name.includes("running"))).toEqual([]);
    const x = values([4, 3, 6, 6], "test");
    const { y, z } = await compile(({ x }) => ({ y: model.apply(x as Tensor), z: folded.apply(x as Tensor) }))({ x });
    expect(relativeError(numbers(z), numbers(y))).toBeLessThan(1e-5);
  });
});

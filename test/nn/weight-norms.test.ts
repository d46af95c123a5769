/** Spectral and weight normalisation: torch's numbers, what they promise, what is refused. */
import { describe, expect, it } from "vitest";
import { readSafetensors } from "../../src/data/safetensors-file.js";
import { compile, grad, inference, NDArray, nn, optim, philoxNormal, type Tensor, training } from "../../src/index.js";
import { relativeError } from "../../src/studies/golden/case.js";
import { goldenPath } from "../support/golden.js";

const { tensors, metadata } = await readSafetensors(goldenPath("weight-norms/weight-norms.safetensors"));
const cases = Object.entries(metadata).map(([name, text]) => ({
  name,
  ...(JSON.parse(text) as { layer: keyof typeof layers; norm: "spectral" | "weight"; iterations: number }),
}));
const layers = {
  linear: () => new nn.Linear(5, 4, { bias: true }),
  conv2d: () => new nn.Conv2d(3, 6, 3, { stride: 2, padding: 1, bias: false }),
  convTranspose2d: () => new nn.ConvTranspose2d(4, 3, 2, { stride: 2 }),
};
const of = (prefix: string) =>
  new Map([...tensors].flatMap(([key, value]) => (key.startsWith(prefix) ? [[key.slice(prefix.length), value]] : [])));
const normal = (shape: number[], site = "x") =>
  new NDArray(
    philoxNormal(
      { seed: 4, site },
      shape.reduce((a, b) => a * b),
    ),
    shape,
    "float32",
  );
const close = (actual: NDArray | undefined, expected: NDArray | undefined, limit = 1e-5) => {
  expect(actual?.shape).toEqual(expected?.shape);
  expect(relativeError((actual as NDArray).toNumbers(), (expected as NDArray).toNumbers())).toBeLessThan(limit);
};

describe("as torch.nn.utils", () => {
  it.each(cases)("$name", async ({ name, layer: kind, norm, iterations }) => {
    const layer: nn.Module = layers[kind]();
    if (norm === "spectral") nn.spectralNorm(layer, { iterations });
    else await nn.weightNorm(layer);
    const theirs = of(`${name}.start.`);
    layer.loadStateDict(nn.plainWeightNames(theirs));
    const [named, parameters] = [layer.namedVariables(), layer.parameters()];
    const paths = [...named].filter(([, variable]) => parameters.includes(variable)).map(([path]) => path);
    const step = compile(({ x, up }: { x: Tensor; up: Tensor }) => {
      const out = training(() => layer.apply(x));
      const gradients = grad(out.mul(up).sum(), parameters);
      return { out, ...Object.fromEntries(paths.map((path, i) => [path, gradients[i] as Tensor])) };
    });
    const feeds = { x: tensors.get(`${name}.x`) as NDArray, up: tensors.get(`${name}.up`) as NDArray };
    const ours = nn.plainWeightNames(new Map([...theirs].map(([key]) => [key, tensors.get(`${name}.x`) as NDArray])));
    const oursToTheirs = new Map([...ours.keys()].map((key, i) => [key, [...theirs.keys()][i] as string]));
    for (let i = 0; i < 3; i++) {
      const results = (await step(feeds)) as unknown as Record<string, NDArray>;
      close(results.out, tensors.get(`${name}.out.${i}`));
      for (const path of paths) close(results[path], tensors.get(`${name}.grad.${oursToTheirs.get(path)}.${i}`));
    }
    await step.release();
    const state = await layer.stateDict();
    for (const [key, value] of nn.plainWeightNames(of(`${name}.state.`))) close(state.get(key), value);
    const evaluate = compile(({ x }: { x: Tensor }) => ({ out: inference(() => layer.apply(x)) }));
    close((await evaluate({ x: feeds.x })).out, tensors.get(`${name}.out.3`));
    await nn.bake(layer);
    expect([...layer.namedVariables().keys()].every((path) => !path.includes("parametrizations"))).toBe(true);
    close((await evaluate({ x: feeds.x })).out, tensors.get(`${name}.out.3`));
    await evaluate.release();
  });
});

describe("spectral norm", () => {
  it("brings the largest singular value to 1 after some passes, also with the weight frozen", async () => {
    const layer = nn.spectralNorm(new nn.Linear(3, 3, { bias: false }));
    layer.weight.set([
      [3, 0, 0],
      [0, -7, 0],
      [0, 0, 1],
    ]);
    nn.freeze(layer, "weight");
    const pass = compile(({ x }: { x: Tensor }) => ({ y: training(() => layer.apply(x)) }));
    for (let i = 0; i < 20; i++) await pass({ x: normal([1, 3]) });
    await pass.release();
    await nn.bake(layer);
    const [a, , , , b, , , , c] = (await layer.weight.data()).toNumbers();
    expect([a, b, c].map((value) => Math.round((value as number) * 7 * 1e4) / 1e4)).toEqual([3, -7, 1]);
  });

  it.each(["linear", "conv2d", "convTranspose2d"] as const)(
    "of a fresh %s is about right before training",
    async (kind) => {
      const layer = layers[kind]();
      const W = (await layer.weight.data()).toNumbers();
      const [rows, inner] = [
        layer.weight.dim(layer.outputAxis),
        layer.weight.shape.slice(layer.outputAxis + 1).reduce((a, b) => a * b, 1),
      ];
      nn.spectralNorm(layer);
      await nn.bake(layer);
      const ratio = (W[0] as number) / ((await layer.weight.data()).toNumbers()[0] as number); // σ as used
      // The matrix, and its largest singular value by many steps on Wᵀ W.
      const at = (r: number, c: number) => W[(Math.floor(c / inner) * rows + r) * inner + (c % inner)] as number;
      const columns = W.length / rows;
      let v = Array.from({ length: columns }, (_, i) => 1 + Math.sin(i));
      let sigma = 0;
      for (let i = 0; i < 3000; i++) {
        const u = Array.from({ length: rows }, (_, r) => v.reduce((sum, x, c) => sum + x * at(r, c), 0));
        sigma = Math.hypot(...u) / Math.hypot(...v);
        const next = v.map((_, c) => u.reduce((sum, x, r) => sum + x * at(r, c), 0));
        const length = Math.hypot(...next);
        v = next.map((x) => x / length);
      }
      expect(ratio / sigma).toBeGreaterThan(0.95);
      expect(ratio / sigma).toBeLessThan(1.00001);
    },
  );

  it("takes one step for each pass in a program, and none in inference", async () => {
    const [once, twice] = [1, 2].map(() => {
      const layer = new nn.Linear(4, 3, { bias: false });
      layer.weight.set(normal([3, 4], "w"));
      return nn.spectralNorm(layer);
    }) as [nn.Linear, nn.Linear];
    const u = async (layer: nn.Linear) => (await layer.stateDict()).get("parametrizations.0.u") as NDArray;
    const x = normal([2, 4]);
    const single = compile(({ x }: { x: Tensor }) => ({ y: training(() => once.apply(x)) }));
    const both = compile(({ x }: { x: Tensor }) => ({ y: training(() => twice.apply(x).add(twice.apply(x))) }));
    const still = compile(({ x }: { x: Tensor }) => ({ y: twice.apply(x) }));
    await single({ x });
    await single({ x });
    await both({ x });
    close(await u(twice), await u(once), 1e-6);
    const before = await u(twice);
    await still({ x });
    expect((await u(twice)).toNumbers()).toEqual(before.toNumbers());
    for (const program of [single, both, still]) await program.release();
  });

  it("goes on exactly from a saved state, and starts from the weight and the seed alone", async () => {
    const make = (seed: number) => {
      const model = new nn.Sequential(new nn.Linear(4, 4), new nn.Linear(4, 2));
      nn.initialize(model, { std: 1 });
      return nn.spectralNorm(model, { seed });
    };
    const [model, other] = [make(1), make(2)];
    const trainer = (m: nn.Sequential) => {
      const optimizer = optim.adam(m.parameters(), { learningRate: 0.01 });
      return {
        optimizer,
        step: compile(({ x }: { x: Tensor }) => {
          const loss = training(() => m.apply(x))
            .square()
            .mean();
          optimizer.update(grad(loss, m.parameters()));
          return { loss };
        }),
      };
    };
    const first = trainer(model);
    for (let i = 0; i < 3; i++) await first.step({ x: normal([3, 4], `${i}`) });
    other.loadStateDict(await model.stateDict());
    const second = trainer(other);
    const target = second.optimizer.state();
    for (const [key, variable] of first.optimizer.state()) target.get(key)?.set(await variable.data());
    for (let i = 3; i < 6; i++)
      expect((await second.step({ x: normal([3, 4], `${i}`) })).loss.item()).toBe(
        (await first.step({ x: normal([3, 4], `${i}`) })).loss.item(),
      );
    const start = async (seed: number) => (await make(seed).stateDict()).get("1.parametrizations.0.u")?.toNumbers();
    expect(await start(1)).toEqual(await start(1));
    await first.step.release();
    await second.step.release();
  });

  it("refuses no iterations and an eps that is not positive", () => {
    expect(() => nn.spectralNorm(new nn.Linear(2, 2), { iterations: 0 })).toThrow("whole number of iterations from 1");
    expect(() => nn.spectralNorm(new nn.Linear(2, 2), { eps: 0 })).toThrow("positive eps");
    expect(() => nn.spectralNorm(new nn.Linear(2, 2), { query: "conv*" })).toThrow("no layer with a weight matches");
  });
});

describe("weight norm", () => {
  it("keeps the function, and its gradient in v is orthogonal to v", async () => {
    const layer = new nn.Linear(4, 3);
    const run = () =>
      compile(({ x }: { x: Tensor }) => {
        const y = layer.apply(x);
        return { y, dv: grad(y.mul(y).sum(), [layer.weight])[0] as Tensor };
      })({ x: normal([2, 4]) });
    const plain = await run();
    await nn.weightNorm(layer);
    const normed = await run();
    close(normed.y, plain.y, 1e-6);
    const [v, dv] = [(await layer.weight.data()).toNumbers(), normed.dv.toNumbers()];
    for (let row = 0; row < 3; row++) {
      const product = [0, 1, 2, 3].reduce(
        (sum, i) => sum + (v[4 * row + i] as number) * (dv[4 * row + i] as number),
        0,
      );
      expect(Math.abs(product)).toBeLessThan(1e-5);
    }
  });

  it("refuses a filter of zeros, and changes nothing then", async () => {
    const layer = new nn.Linear(2, 2);
    layer.weight.set([
      [1, 2],
      [0, 0],
    ]);
    await expect(nn.weightNorm(layer)).rejects.toThrow("filter 1 of the layer is all zeros");
    expect(layer.parametrizations).toEqual([]);
  });
});

describe("torch's names", () => {
  it("of older and newer parametrised layers become ours; other names stay", () => {
    const value = NDArray.zeros([1]);
    const names = (...keys: string[]) => [...nn.plainWeightNames(new Map(keys.map((key) => [key, value]))).keys()];
    expect(names("a.0.weight_orig", "a.0.weight_u", "a.0.weight_v", "a.0.bias")).toEqual([
      "a.0.weight",
      "a.0.parametrizations.0.u",
      "a.0.parametrizations.0.v",
      "a.0.bias",
    ]);
    expect(names("weight_g", "weight_v")).toEqual(["parametrizations.0.g", "weight"]);
    expect(names("c.parametrizations.weight.original", "c.parametrizations.weight.0._u", "d.weight")).toEqual([
      "c.weight",
      "c.parametrizations.0.u",
      "d.weight",
    ]);
  });
});

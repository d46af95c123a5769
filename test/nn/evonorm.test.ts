import { describe, expect, it } from "vitest";
import {
  compile,
  grad,
  inference,
  NDArray,
  nn,
  normalArray,
  philoxUniform,
  type Tensor,
  tensor,
  training,
} from "../../src/index.js";

const draw = (site: string, shape: readonly number[]) => normalArray({ seed: 11, site }, shape);
const finite = (array: NDArray) => array.toNumbers().every(Number.isFinite);

/** Output and gradient in training mode. */
async function trained(layer: nn.Norm, x: NDArray): Promise<{ y: NDArray; dx: NDArray }> {
  const program = compile(({ x }: { x: Tensor }) => {
    const y = training(() => layer.apply(x));
    return { y, dx: grad(y.square().sum(), [x])[0] as Tensor };
  });
  const { y, dx } = await program({ x });
  await program.release();
  return { y, dx };
}

const kinds = ["B0", "B1", "B2", "S0", "S1", "S2"] as const;

describe("EvoNorm", () => {
  it.each(kinds)("%s works on constant input, a single pixel and tokens", async (kind) => {
    const layer = nn.evoNorm(4, { kind, groups: 2 });
    for (const x of [NDArray.zeros([2, 4, 3, 3]), draw("pixel", [2, 4, 1, 1])]) {
      const { y, dx } = await trained(layer, x);
      expect(finite(y) && finite(dx)).toBe(true);
    }
    const tokens = nn.evoNorm(4, { kind, groups: 2, axis: -1 });
    expect((await trained(tokens, draw("tokens", [2, 5, 4]))).y.shape).toEqual([2, 5, 4]);
  });

  it("of an S kind gives a sample the same output in a batch of any size, of a B kind not", async () => {
    const x = draw("batch", [16, 4, 3, 3]);
    const one = NDArray.from(x.toNumbers().slice(0, 36), "float32", [1, 4, 3, 3]);
    const change = async (kind: nn.EvoNormKind) => {
      const [many, single] = [await trained(nn.evoNorm(4, { kind }), x), await trained(nn.evoNorm(4, { kind }), one)];
      return Math.max(...single.y.toNumbers().map((v, i) => Math.abs(v - many.y.at(i))));
    };
    for (const kind of ["S0", "S1", "S2"] as const) expect(await change(kind)).toBeLessThan(1e-6);
    expect(await change("B0")).toBeGreaterThan(1e-2);
  });

  it("refuses what it cannot do", async () => {
    const refused: [() => unknown, string][] = [
      [() => nn.evoNorm(4, { kind: "B3" as "B0" }), 'there is no kind "B3"; there are B0, B1, B2, S0, S1, S2'],
      [() => nn.evoNorm(4, { groups: 0 }), "groups of at least 1, got 0"],
      [() => nn.evoNorm(4, { groupSize: 3 }), "a groupSize that divides 4 channels, got 3"],
      [() => nn.evoNorm(4).apply(tensor(draw("x", [1, 3, 2, 2]))), "expected [batch, 4, …], got [1, 3, 2, 2]"],
      [() => nn.evoNorm(4).apply(tensor(draw("x", [1, 4]))), "expected channels and a space, got [1, 4]"],
    ];
    for (const [act, message] of refused) expect(act).toThrow(message);
    await expect(trained(nn.evoNorm(4), draw("x", [1, 4, 1, 1]))).rejects.toThrow("one value per channel");
    await expect(trained(nn.evoNorm(4, { kind: "S0" }), draw("x", [1, 4, 1, 1]))).resolves.toBeDefined();
    expect(nn.evoNorm(6, { groups: 4 }).groups).toBe(3);
  });

  it("takes the place of BatchNorm and its activation in a residual network, and of neither where none follows", async () => {
    const said: string[] = [];
    const before = nn.onWarning((message) => said.push(message));
    const model = nn.convertBatchNormReLU(nn.cifarResNet({ depth: 8 }), "B0");
    nn.onWarning(before);
    const layers = [...model.namedModules()].flatMap(([path, module]) =>
      (module as unknown) instanceof nn.EvoNorm ? [[path, (module as unknown as nn.EvoNorm).bare] as const] : [],
    );
    expect(layers).toHaveLength(9);
    expect(layers.filter(([, bare]) => bare).map(([path]) => path)).toEqual([
      "layer1.0.bn2",
      "layer2.0.bn2",
      "layer2.0.downsample.1",
      "layer3.0.bn2",
      "layer3.0.downsample.1",
    ]);
    expect(said[0]).toContain("no activation follows layer1.0.bn2, layer2.0.bn2, layer2.0.downsample.1 and 2 more");
    const named = nn.cifarResNet({ depth: 8, norm: "evonorm-s0" });
    expect(named.layer1[0]?.namedModules().get("bn2")).toMatchObject({ bare: true });
    const run = compile(({ x }: { x: Tensor }) => ({ y: inference(() => model.apply(x)) }));
    expect(finite((await run({ x: draw("x", [2, 3, 8, 8]) })).y)).toBe(true);
    await run.release();
  });

  it("takes the activation out of a sequence, keeps gain and bias, and refuses a model without batch norm", () => {
    const norm = nn.batchNorm(4);
    norm.weight?.set([2, 3, 4, 5]);
    const model = new nn.Sequential(
      norm,
      new nn.Lambda((x) => x.relu()),
      nn.batchNorm(4),
      new nn.Lambda((x) => x.tanh()),
    );
    const before = nn.onWarning(() => {});
    nn.convertBatchNormReLU(model, "S0");
    nn.onWarning(before);
    expect(model[1]).toBeInstanceOf(nn.Identity);
    expect(model[3]).toBeInstanceOf(nn.Lambda);
    expect((model[0] as nn.EvoNorm).weight).toBe(norm.weight);
    expect((model[2] as nn.EvoNorm).bare).toBe(true);
    expect(() => nn.convertBatchNormReLU(new nn.Linear(2, 2), "B0")).toThrow("the model has no BatchNorm");
  });
});

describe("a norm-and-activation graph", () => {
  const uniform = (seed: number) => {
    let i = 0;
    return () => philoxUniform({ seed, site: `${i++}` }, 1)[0] as number;
  };

  it("goes to JSON and back, and says its formula", () => {
    const graph = nn.namedNormActGraphs["evonorm-s0"];
    expect(nn.NormActGraph.fromJSON(JSON.parse(JSON.stringify(graph))).nodes).toEqual(graph.nodes);
    expect(graph.formula).toBe("(x·σ(v₁·x)) / std_whcg(x)");
    expect(nn.namedNormActGraphs["evonorm-b0"].formula).toBe("x / max(std_wh(x) + (v₁·x), std_bwh(x))");
    expect(nn.namedNormActGraphs["bn-relu"].formula).toBe("max((x + (−mean_bwh(x))) / std_bwh(x), 0)");
  });

  it("drawn or mutated depends on x, keeps to its family, and is the same by seed", () => {
    for (let seed = 0; seed < 40; seed++) {
      const graph = nn.NormActGraph.random("sample", uniform(seed));
      expect(graph.nodes).toHaveLength(10);
      expect(graph.used.has(0)).toBe(true);
      expect(graph.nodes.some(([operation]) => operation.endsWith("bwh"))).toBe(false);
      expect(nn.NormActGraph.random("sample", uniform(seed)).nodes).toEqual(graph.nodes);
      const child = graph.mutate("batch", uniform(seed + 100));
      expect(child.nodes.filter((node, i) => node !== graph.nodes[i]).length).toBeLessThanOrEqual(1);
      expect(child.used.has(0)).toBe(true);
    }
  });

  it("follows statistics of the batch in training and uses them in inference", async () => {
    const layer = nn.namedNormActGraphs["bn-relu"].toLayer(3, { momentum: 1 });
    const norm = nn.batchNorm(3, { momentum: 1 });
    const x = draw("x", [4, 3, 2, 2]);
    await trained(layer, x);
    await trained(norm, x);
    norm.running_var.set((await norm.running_var.data()).toNumbers().map((v) => (v * 15) / 16));
    const program = compile(({ x }: { x: Tensor }) =>
      inference(() => ({ a: layer.apply(x), b: norm.apply(x).relu() })),
    );
    const { a, b } = await program({ x: draw("other", [2, 3, 2, 2]) });
    for (const [i, value] of b.toNumbers().entries()) expect(a.at(i)).toBeCloseTo(value, 4);
    await program.release();
  });

  it("refuses JSON that is no graph", () => {
    const refused: [unknown, string][] = [
      [{}, "expected a list of [operation, [inputs]]"],
      [[["add", [0, "1"]]], "expected a list of [operation, [inputs]]"],
      [[], "expected at least one node"],
      [[["sin", [0]]], 'node 4 is "sin"'],
      [[["add", [0]]], "node 4, add, takes 2 inputs, got 1"],
      [[["neg", [0, 1]]], "node 4, neg, takes 1 inputs, got 2"],
      [[["add", [0, 4]]], "node 4 reads node 4; expected one before it, 0 to 3"],
      [[["add", [0, -1]]], "node 4 reads node -1"],
      [[["neg", [2]]], "the output does not depend on x"],
    ];
    for (const [json, message] of refused) expect(() => nn.NormActGraph.fromJSON(json)).toThrow(message);
  });
});

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import {
  compile,
  exportOnnx,
  grad,
  graphs,
  NDArray,
  nn,
  optim,
  type Tensor,
  training,
  writeOnnx,
} from "../../src/index.js";
import { relativeError } from "../../src/studies/golden/case.js";

const { graph, batchFor } = graphs;
const ring = (n: number, attributes: graphs.GraphAttributes = {}): graphs.Graph =>
  graph(
    n,
    Array.from({ length: n }, (_, i) => [i, (i + 1) % n] as const),
    { undirected: true, ...attributes },
  );
const types = (...list: number[]): Int32Array => Int32Array.from(list);
const base = { layers: 2, hidden: 8, heads: 2, nodeTypes: 3, seed: 5 } as const;

async function infer(model: nn.GraphTransformer, batch: graphs.GraphBatch): Promise<NDArray> {
  const program = compile((inputs) => ({ y: model.apply(inputs) }));
  const { y } = await program(batch);
  await program.release();
  return y;
}

const small = [
  graph(
    3,
    [
      [0, 1],
      [1, 0],
      [1, 2],
    ],
    { nodeTypes: types(0, 1, 2), edgeTypes: types(0, 1, 1) },
  ),
  graph(1, [], { nodeTypes: types(1), edgeTypes: types() }),
  ring(5, { nodeTypes: types(0, 0, 1, 2, 2), edgeTypes: types(0, 1, 0, 1, 0) }),
];

describe("a graph transformer", () => {
  it.each([
    ["node", [9, 4]],
    ["graph", [3, 4]],
    ["edge", [13, 4]],
  ] as const)("tells %s outputs, of one node, isolated nodes and directed edges too", async (task, shape) => {
    for (const edges of [{}, { edgeTypes: 2 }, { edgeFeatures: "constant" }] as const) {
      const model = nn.graphTransformer({ ...base, ...edges, task, outputs: 4, posEnc: { kind: "laplacian", k: 2 } });
      const y = await infer(model, batchFor(model, small));
      expect(y.shape).toEqual(shape);
      expect(y.toNumbers().every(Number.isFinite)).toBe(true);
    }
  });

  it.each(["mean", "sum", "max"] as const)(
    "reads graphs out by their %s, alike in every layout and company",
    async (readout) => {
      const model = nn.graphTransformer({
        ...base,
        edgeTypes: 2,
        task: "graph",
        readout,
        posEnc: { kind: "wl", roles: 37 },
      });
      const lists = (await infer(model, batchFor(model, small))).toNumbers();
      const pad = { nodes: 12, edges: 20, graphs: 4 };
      const filled = (await infer(model, batchFor(model, small, { pad }))).toNumbers();
      expect(relativeError(filled.slice(0, 3), lists)).toBeLessThan(1e-5);
      expect(Number.isFinite(filled[3])).toBe(true);
      const rows = (
        await infer(model, batchFor(model, small, { layout: "padded", pad: { nodes: 6, edges: 0 } }))
      ).toNumbers();
      expect(relativeError(rows, lists)).toBeLessThan(1e-5);
      const alone = await Promise.all(
        small.map(async (one) => (await infer(model, batchFor(model, [one], { training: false }))).item()),
      );
      expect(relativeError(alone, lists)).toBeLessThan(1e-5);
    },
  );

  it("attends to all nodes of a graph as along the edges of the complete one", async () => {
    const options = { ...base, task: "graph", edgeTypes: 2, posEnc: { kind: "laplacian", k: 2 } } as const;
    const full = nn.graphTransformer({ ...options, attention: "full" });
    const sparse = nn.graphTransformer(options);
    const placed = small.map((one) => graphs.placeGraph(one, options));
    const expected = await infer(sparse, batchFor(sparse, placed.map(graphs.completeGraph)));
    expect(relativeError((await infer(full, batchFor(full, small))).toNumbers(), expected.toNumbers())).toBeLessThan(
      1e-5,
    );
    await expect(infer(full, graphs.batchGraphs(placed))).rejects.toThrow(/full attention reads graphs padded/);
  });

  it("flips the signs of positions in training alone: one sign a column, other ones each step", async () => {
    const model = nn.graphTransformer({ ...base, task: "node", norm: "none", posEnc: { kind: "laplacian", k: 3 } });
    const batch = batchFor(model, [
      ring(6, { nodeTypes: types(0, 1, 2, 0, 1, 2) }),
      ring(4, { nodeTypes: types(0, 1, 2, 0) }),
    ]);
    const flip = compile(({ positions }) => ({ y: nn.randomSignFlip(positions as Tensor) }), { seed: 3 });
    const seen = new Set<string>();
    for (let step = 0; step < 20; step++) {
      const { y } = await flip({ positions: NDArray.from(Array(30).fill(1), "float32", [10, 3]) });
      const [first] = y.toArray() as number[][];
      for (const row of y.toArray() as number[][]) expect(row).toEqual(first);
      expect((first as number[]).every((sign) => Math.abs(sign) === 1)).toBe(true);
      seen.add(String(first));
    }
    expect(seen.size).toBeGreaterThan(3);
    const train = compile((inputs) => ({ y: training(() => model.apply(inputs)) }));
    const outputs = new Set<string>();
    for (let step = 0; step < 8; step++) outputs.add(String((await train(batch)).y.toNumbers()));
    expect(outputs.size).toBeGreaterThan(1);
    expect(await infer(model, batch)).toEqual(await infer(model, batch));
  });

  it("takes features of nodes and edges", async () => {
    const model = nn.graphTransformer({
      layers: 1,
      hidden: 8,
      heads: 2,
      nodeFeatures: 2,
      edgeFeatures: 1,
      task: "node",
    });
    const featured = graph(
      3,
      [
        [0, 1],
        [1, 2],
      ],
      {
        nodeFeatures: NDArray.from([
          [1, 2],
          [0, 1],
          [-1, 0.5],
        ]),
        edgeFeatures: NDArray.from([[0.5], [2]]),
      },
    );
    const lists = await infer(model, batchFor(model, [featured, featured]));
    const rows = await infer(model, batchFor(model, [featured, featured], { layout: "padded" }));
    expect(relativeError(rows.toNumbers(), lists.toNumbers())).toBeLessThan(1e-5);
  });

  it("learns, and goes on from its weights, statistics and moments as if it had not stopped", async () => {
    const data = graphs.clusterGraphs(4, { seed: 1, size: [4, 6] });
    const make = () => {
      const model = nn.graphTransformer({
        ...base,
        nodeTypes: 4,
        task: "node",
        outputs: 3,
        dropout: 0.1,
        posEnc: { kind: "laplacian", k: 2 },
      });
      const optimizer = optim.adam(model.parameters(), { learningRate: 1e-2 });
      const step = compile((inputs) =>
        training(() => {
          const loss = nn.balancedCrossEntropy(model.apply(inputs), inputs.nodeTargets as Tensor);
          optimizer.update(grad(loss, optimizer.parameters));
          return { loss };
        }),
      );
      return { model, optimizer, step };
    };
    const whole = make();
    const batch = batchFor(whole.model, data);
    const losses: number[] = [];
    for (let i = 0; i < 60; i++) losses.push((await whole.step(batch)).loss.item());
    expect(losses.at(-1)).toBeLessThan(0.7 * (losses[0] as number));

    const [first, second] = [make(), make()];
    for (let i = 0; i < 30; i++) await first.step(batch);
    second.model.loadStateDict(await first.model.stateDict());
    for (const [name, variable] of first.optimizer.state())
      second.optimizer
        .state()
        .get(name)
        ?.set(await variable.data());
    second.step.step = first.step.step;
    const resumed: number[] = [];
    for (let i = 30; i < 60; i++) resumed.push((await second.step(batch)).loss.item());
    expect(resumed).toEqual(losses.slice(30));
  });

  it("is one ONNX file for graphs of any number and size", async () => {
    const model = nn.graphTransformer({ ...base, edgeTypes: 2, task: "graph", posEnc: { kind: "laplacian", k: 2 } });
    const [n, m, count] = ["nodes", "edges", "graphs"] as const;
    const axes = { src: [m], dst: [m], graph: [n], nodes: [n], edges: [m], sizes: [count], positions: [n, 2] };
    const inputs = Object.fromEntries(
      Object.entries(axes).map(([name, shape]) => {
        const dtype = name === "sizes" || name === "positions" ? ("float32" as const) : ("int32" as const);
        return [name, { dtype, shape }];
      }),
    );
    const probe = { inputs: new Map(Object.entries(batchFor(model, small))), dims: { nodes: 9, edges: 13, graphs: 3 } };
    const folder = await mkdtemp(join(tmpdir(), "graph-export-"));
    const path = join(folder, "graphs.onnx");
    await writeOnnx(await exportOnnx((given) => model.apply(given), inputs, { probe }), path);
    const session = await InferenceSession.create(path);
    for (const list of [small, small.slice(2), [...small, ...small]]) {
      const batch = batchFor(model, list);
      const feeds = Object.entries(batch).map(
        ([name, { data, dtype, shape }]) =>
          [name, new OrtTensor(dtype as "float32", data as Float32Array, [...shape])] as const,
      );
      const { output } = await session.run(Object.fromEntries(feeds));
      const expected = (await infer(model, batch)).toNumbers();
      expect(relativeError(Array.from(output?.data as Float32Array), expected)).toBeLessThan(1e-5);
    }
    await session.release();
    await rm(folder, { recursive: true });
  });

  it("has the size of the paper's: about half a million parameters", () => {
    const count = (options: Partial<nn.GraphTransformerOptions>) =>
      nn
        .graphTransformer({ task: "graph", nodeTypes: 28, heads: 8, ...options })
        .parameters()
        .reduce((sum, { size }) => sum + size, 0);
    expect(count({ edgeTypes: 4, hidden: 64, posEnc: { kind: "laplacian", k: 8 } })).toBe(588_929);
    expect(count({ task: "node", nodeTypes: 7, hidden: 80, outputs: 6, posEnc: { kind: "laplacian", k: 10 } })).toBe(
      524_026,
    );
  });
});

describe("a graph transformer refuses", () => {
  const make = (options: object) => () => nn.graphTransformer({ ...base, task: "node", ...options });
  it.each<[string, () => unknown, RegExp]>([
    ["k below 1", make({ posEnc: { kind: "laplacian", k: 0 } }), /posEnc.k .* got 0/],
    ["an encoding that is not there", make({ posEnc: { kind: "random" } }), /posEnc.kind is "random"/],
    ["both types and features", make({ nodeFeatures: 2 }), /give nodeTypes or nodeFeatures, and not both/],
    ["neither", make({ nodeTypes: undefined }), /give nodeTypes or nodeFeatures/],
    ["edges of both", make({ edgeTypes: 1, edgeFeatures: 1 }), /give edgeTypes or edgeFeatures, and not both/],
    ["a head narrower than 1", make({ hidden: 2 }), /hidden .* at least 4/],
    ["heads that do not divide the width", make({ heads: 3 }), /heads that divide the width 8, got 3/],
    ["no layer", make({ layers: 0 }), /layers to be a positive whole number, got 0/],
    ["an unknown task", make({ task: "link" }), /task is "link"; expected node, graph or edge/],
    ["an unknown readout", make({ readout: "median" }), /readout is "median"/],
  ])("%s", (_, call, message) => expect(call).toThrow(message));

  const model = nn.graphTransformer({ ...base, edgeTypes: 2, task: "graph", posEnc: { kind: "wl", roles: 3 } });
  it.each<[string, graphs.Graph[], RegExp]>([
    [
      "a node type outside its table",
      [ring(3, { nodeTypes: types(0, 3, 1), edgeTypes: types(0, 0, 0) })],
      /graph 0: nodeTypes\[1\] is 3; the model has a table of 3/,
    ],
    [
      "an edge type outside its table",
      [small[0] as graphs.Graph, ring(3, { nodeTypes: types(0, 1, 1), edgeTypes: types(0, 2, 0) })],
      /graph 1: edgeTypes\[1\] is 2/,
    ],
    ["edges without types", [ring(3, { nodeTypes: types(0, 1, 1) })], /graph 0 has no edgeTypes/],
    [
      "roles outside their table",
      [
        graph(
          5,
          [
            [0, 1],
            [1, 2],
            [1, 3],
            [2, 3],
            [3, 4],
          ],
          { undirected: true, edgeTypes: types(0, 0, 0, 0, 0) },
        ),
      ],
      /roles\[\d\] is 3/,
    ],
    [
      "one edge in a training batch",
      [graph(3, [[0, 1]], { edgeTypes: types(0) })],
      /1 edge in the batch, and one value has no variance for batch norm/,
    ],
    ["one node in a training batch", [small[1] as graphs.Graph], /1 node in the batch/],
    ["an empty batch", [], /expected at least one graph, got none/],
  ])("%s", (_, list, message) => expect(() => batchFor(model, list)).toThrow(message));

  it("graphs without what it reads", async () => {
    const placed = nn.graphTransformer({ ...base, task: "node", posEnc: { kind: "laplacian", k: 2 } });
    await expect(infer(placed, graphs.batchGraphs(small))).rejects.toThrow(
      /reads Laplacian positions; make graphs withLaplacian/,
    );
    await expect(infer(model, graphs.batchGraphs([ring(3)]))).rejects.toThrow(/reads Weisfeiler-Lehman roles/);
    const wide = nn.graphTransformer({ layers: 1, hidden: 8, heads: 2, nodeFeatures: 3, task: "node" });
    expect(() => batchFor(wide, [ring(3, { nodeFeatures: NDArray.zeros([3, 2]) })])).toThrow(
      /has 2 nodeFeatures; the model reads 3/,
    );
  });
});

describe("balanced cross-entropy and accuracy", () => {
  const logits = NDArray.from([
    [2, 0, 0],
    [1, 0, 0],
    [0, 1, 0],
    [3, 0, 0],
  ]);
  it("weigh classes by what the batch has of others, and leave −100 out", async () => {
    const run = async (labels: number[], rows = logits) =>
      (
        await compile(({ x, y }) => ({ loss: nn.balancedCrossEntropy(x as Tensor, y as Tensor) }))({
          x: rows,
          y: NDArray.from(labels, "int32"),
        })
      ).loss.item();
    const nll = (row: number, label: number) => {
      const x = [0, 1, 2].map((c) => logits.at(row * 3 + c));
      return Math.log(x.reduce((sum, v) => sum + Math.exp(v), 0)) - (x[label] as number);
    };
    const [w0, w1] = [2 / 4, 2 / 4].map((share) => 1 - share) as [number, number];
    expect(await run([0, 0, 1, 1])).toBeCloseTo(
      (w0 * (nll(0, 0) + nll(1, 0)) + w1 * (nll(2, 1) + nll(3, 1))) / (2 * w0 + 2 * w1),
      5,
    );
    const [v0, v1] = [1 / 3, 2 / 3];
    expect(await run([0, 0, 1, -100])).toBeCloseTo((v0 * (nll(0, 0) + nll(1, 0)) + v1 * nll(2, 1)) / (2 * v0 + v1), 5);
    expect(await run([1, 1, 1, 1])).toBe(0);
  });

  it("average over classes, not members", () => {
    expect(nn.balancedAccuracy(logits, NDArray.from([0, 0, 1, 1], "int32"))).toBe(0.75);
    expect(nn.balancedAccuracy(logits, NDArray.from([0, 0, 0, 1], "int32"))).toBeCloseTo(1 / 3, 12);
    expect(nn.balancedAccuracy(logits, NDArray.from([0, -100, -100, 2], "int32"))).toBe(0.5);
    expect(() => nn.balancedAccuracy(logits, NDArray.from([-100, -100, -100, -100], "int32"))).toThrow(
      /labels that count, got none/,
    );
  });
});

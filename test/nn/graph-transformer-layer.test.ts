import { describe, expect, it } from "vitest";
import { compile, grad, graphs, NDArray, nn, normalArray, type Tensor, tensor, training } from "../../src/index.js";
import { relativeError } from "../../src/studies/golden/case.js";

const { graph, batchGraphs, padGraphs } = graphs;
const values = (shape: number[], site: string): NDArray => normalArray({ seed: 2, site }, shape);
type Batch = Record<string, NDArray>;

/** What a layer gives for a batch, in training or inference. */
async function run(layer: nn.GraphLayer, batch: Batch, mode: (body: () => object) => object = (body) => body()) {
  const program = compile(
    (inputs) =>
      mode(() => {
        const { h, e } = layer.apply(inputs.h as Tensor, nn.graphInputs(inputs), inputs.e);
        return { h, ...(e && { e }) };
      }) as { h: Tensor; e?: Tensor },
  );
  const { h, e } = (await program(batch)) as unknown as { h: NDArray; e?: NDArray };
  await program.release();
  return { h: h.toNumbers(), e: e?.toNumbers() };
}

const three = graph(4, [
  [0, 1],
  [1, 0],
  [2, 1],
  [1, 2],
  [3, 3],
]);

describe("attention along edges", () => {
  const width = 4;
  const attention = (options: Partial<nn.GraphAttentionOptions> = {}) =>
    new nn.GraphAttention(width, { heads: 2, ...options });
  const nodesOf = async (layer: nn.GraphAttention, one: graphs.Graph, h: NDArray) => {
    const program = compile((inputs) => ({
      y: layer.apply(inputs.h as Tensor, nn.graphInputs(inputs)).nodes,
    }));
    return (await program({ ...batchGraphs([one]), h })).y.toNumbers();
  };

  it("of a node with one neighbour is that neighbour's value, whatever the score", async () => {
    const layer = attention();
    const h = values([2, width], "h");
    const y = await nodesOf(
      layer,
      graph(2, [
        [0, 1],
        [1, 0],
      ]),
      h,
    );
    const V = (await layer.V.weight.data()).toNumbers();
    const value = (node: number, i: number) =>
      [0, 1, 2, 3].reduce((sum, j) => sum + (V[i * width + j] as number) * h.at(node * width + j), 0);
    expect(
      relativeError(
        y,
        [0, 1, 2, 3, 4, 5, 6, 7].map((k) => value(k < 4 ? 1 : 0, k % 4)),
      ),
    ).toBeLessThan(1e-5);
  });

  it("gives 0, and a finite gradient, at a node without an edge into it", async () => {
    const layer = attention();
    const program = compile((inputs) => {
      const y = layer.apply(inputs.h as Tensor, nn.graphInputs(inputs)).nodes;
      return { y, g: grad(y.square().sum(), [inputs.h as Tensor])[0] as Tensor };
    });
    const { y, g } = await program({ ...batchGraphs([graph(3, [[0, 1]])]), h: values([3, width], "h") });
    const numbers = y.toNumbers();
    expect([...numbers.slice(0, 4), ...numbers.slice(8)]).toEqual(Array(8).fill(0));
    expect(numbers[4]).not.toBe(0);
    expect(g.toNumbers().every(Number.isFinite)).toBe(true);
  });

  it("counts an edge that is there twice", async () => {
    const layer = attention();
    const h = values([3, width], "h");
    const once = await nodesOf(
      layer,
      graph(3, [
        [0, 2],
        [1, 2],
      ]),
      h,
    );
    const twice = await nodesOf(
      layer,
      graph(3, [
        [0, 2],
        [1, 2],
        [1, 2],
      ]),
      h,
    );
    const alone = await nodesOf(layer, graph(3, [[1, 2]]), h);
    // twice the weight of edge 1 → 2 moves the average toward its value
    for (let i = 8; i < 12; i++) {
      const [a, b, c] = [once, twice, alone].map((y) => y[i] as number) as [number, number, number];
      expect((b - a) * (c - a)).toBeGreaterThan(0);
    }
  });

  it("clips scores, and passes no gradient beyond the clip", async () => {
    const layer = attention({ clamp: 1e-3 });
    const program = compile((inputs) => {
      const given = nn.graphInputs(inputs);
      const y = layer.apply(inputs.h as Tensor, given).nodes;
      return {
        scores: layer.scores(inputs.h as Tensor, given),
        g: grad(y.square().sum(), [layer.Q.weight])[0] as Tensor,
      };
    });
    const { scores, g } = await program({ ...batchGraphs([three]), h: tensorOf(4) });
    expect(Math.min(...scores.toNumbers().map(Math.abs))).toBeGreaterThan(1e-3);
    expect(g.toNumbers()).toEqual(Array(16).fill(0));
  });
  const tensorOf = (n: number): NDArray =>
    NDArray.from(
      values([n, width], "h")
        .toNumbers()
        .map((x) => 3 * x),
      "float32",
      [n, width],
    );
});

const kinds = [
  { edgeFeatures: false, norm: "batch" },
  { edgeFeatures: false, norm: "layer" },
  { edgeFeatures: true, norm: "batch" },
  { edgeFeatures: true, norm: "both" },
  { edgeFeatures: true, norm: "none" },
] as const;

describe.each(kinds)("a layer with %o", (kind) => {
  const layer = () => nn.graphTransformerLayer({ dim: 8, heads: 2, ...kind });
  const a = graph(3, [
    [0, 1],
    [1, 0],
    [2, 1],
  ]);
  const b = graph(4, [
    [0, 1],
    [1, 2],
    [2, 3],
    [3, 0],
    [2, 0],
  ]);
  const rows = (list: readonly number[], from: number, to: number) => list.slice(from * 8, to * 8);

  it("computes in training the same side by side, filled, and padded", async () => {
    const [h, e] = [values([7, 8], "h"), values([8, 8], "e")];
    const models = [layer(), layer(), layer()] as [nn.GraphLayer, nn.GraphLayer, nn.GraphLayer];
    const state = await models[0].stateDict();
    for (const model of models) model.loadStateDict(state);
    const plain = await run(models[0], { ...batchGraphs([a, b]), h, e }, training);
    const filled = await run(
      models[1],
      { ...batchGraphs([a, b], { pad: { nodes: 10, edges: 12 } }), h: longer(h, 10), e: longer(e, 12) },
      training,
    );
    expect(relativeError(rows(filled.h, 0, 7), plain.h)).toBeLessThan(1e-5);
    const dense = await run(models[2], { ...padGraphs([a, b]), h: grid(h), e: edgeGrid(e, [a, b]) }, training);
    expect(relativeError([...rows(dense.h, 0, 3), ...rows(dense.h, 4, 8)], plain.h)).toBeLessThan(1e-5);
    if (plain.e) {
      expect(relativeError(rows(filled.e as number[], 0, 8), plain.e)).toBeLessThan(1e-5);
      const cells = places([a, b]).flatMap((cell) => rows(dense.e as number[], cell, cell + 1));
      expect(relativeError(cells, plain.e)).toBeLessThan(1e-5);
    }
    const [first, ...others] = await Promise.all(models.map((model) => model.stateDict()));
    for (const other of others)
      for (const [name, value] of first as Map<string, NDArray>)
        expect(relativeError((other.get(name) as NDArray).toNumbers(), value.toNumbers()), name).toBeLessThan(1e-5);
  });

  it("does not depend on the order of nodes, nor in inference on other graphs of the batch", async () => {
    const model = layer();
    const [h, e] = [values([7, 8], "h"), values([8, 8], "e")];
    await run(model, { ...batchGraphs([a, b]), h, e }, training);
    const both = await run(model, { ...batchGraphs([a, b]), h, e });
    const cut = (list: NDArray, from: number, to: number) =>
      NDArray.from(rows(list.toNumbers(), from, to), "float32", [to - from, 8]);
    const alone = await run(model, { ...batchGraphs([b]), h: cut(h, 3, 7), e: cut(e, 3, 8) });
    expect(relativeError(alone.h, rows(both.h, 3, 7))).toBeLessThan(1e-5);
    const order = [2, 0, 3, 1];
    const moved = graph(
      4,
      Array.from(b.src, (from, k) => [order[from] as number, order[b.dst[k] as number] as number] as const),
    );
    const h2 = NDArray.from(
      order.map((_, i) => order.indexOf(i)).flatMap((i) => rows(h.toNumbers(), 3 + i, 4 + i)),
      "float32",
      [4, 8],
    );
    const after = await run(model, { ...batchGraphs([moved]), h: h2, e: cut(e, 3, 8) });
    expect(
      relativeError(
        order.flatMap((i) => rows(after.h, i, i + 1)),
        alone.h,
      ),
    ).toBeLessThan(1e-5);
  });

  it("has the derivative that difference quotients show", async () => {
    const model = layer();
    const [h, e] = [values([7, 8], "h"), values([8, 8], "e")];
    const batch = batchGraphs([a, b]);
    const weights = tensor(values([7, 8], "w"));
    const direction = values([7, 8], "direction");
    const program = compile((inputs) =>
      training(() => {
        const y = model.apply(inputs.h as Tensor, nn.graphInputs(inputs), inputs.e).h;
        const loss = y.mul(weights).sum();
        return { loss, g: grad(loss, [inputs.h as Tensor])[0] as Tensor };
      }),
    );
    const at = async (t: number) => {
      const moved = NDArray.from(
        h.toNumbers().map((x, i) => x + t * direction.at(i)),
        "float32",
        [7, 8],
      );
      return program({ ...batch, h: moved, e });
    };
    const { g } = await at(0);
    const slope = g.toNumbers().reduce((sum, x, i) => sum + x * direction.at(i), 0);
    const t = 1e-3;
    const quotient = ((await at(t)).loss.item() - (await at(-t)).loss.item()) / (2 * t);
    expect(Math.abs(quotient - slope)).toBeLessThan(2e-2 * Math.max(1, Math.abs(slope)));
  });
});

describe("a layer", () => {
  it("drops in training alone", async () => {
    const model = nn.graphTransformerLayer({ dim: 8, heads: 2, norm: "layer", dropout: 0.5 });
    const batch = { ...batchGraphs([three]), h: values([4, 8], "h") };
    const infer = await run(model, batch);
    expect(await run(model, batch)).toEqual(infer);
    expect((await run(model, batch, training)).h).not.toEqual(infer.h);
  });

  it("without residual adds nothing", async () => {
    const options = { dim: 4, heads: 1, norm: "none", residual: false } as const;
    const model = nn.graphTransformerLayer(options);
    for (const variable of model.parameters()) variable.set(NDArray.zeros(variable.shape));
    const { h } = await run(model, { ...batchGraphs([three]), h: values([4, 4], "h") });
    expect(h).toEqual(Array(16).fill(0));
  });

  it("leaves frozen parameters out, and its running statistics of the optimiser's", () => {
    const model = nn.graphTransformerLayer({ dim: 8, heads: 2 });
    const count = model.parameters().length;
    expect(model.parameters().some(({ name }) => name.includes("running"))).toBe(false);
    nn.freeze(model, "attention.Q");
    expect(model.parameters().length).toBe(count - 1);
  });

  it("refuses one edge in training with batch norm, and takes it in inference", async () => {
    const model = nn.graphTransformerLayer({ dim: 4, heads: 1, edgeFeatures: true });
    const batch = { ...batchGraphs([graph(3, [[0, 1]])]), h: values([3, 4], "h"), e: values([1, 4], "e") };
    await expect(run(model, batch, training)).rejects.toThrow(
      /batch_norm1_e.*one value per channel .* use a larger batch/,
    );
    expect((await run(model, batch)).h.every(Number.isFinite)).toBe(true);
  });

  const apply =
    (shape: number[], edges?: number[], batch: Batch = batchGraphs([three])) =>
    async () => {
      const model = nn.graphTransformerLayer({ dim: 4, heads: 2, edgeFeatures: edges !== undefined });
      await run(model, { ...batch, h: NDArray.zeros(shape), ...(edges?.length && { e: NDArray.zeros(edges) }) });
    };
  it.each<[string, () => Promise<unknown>, RegExp]>([
    [
      "heads that do not divide the width",
      async () => nn.graphTransformerLayer({ dim: 6, heads: 4 }),
      /heads that divide the width 6, got 4/,
    ],
    [
      "an unknown norm",
      async () => nn.graphTransformerLayer({ dim: 4, heads: 2, norm: "group" as never }),
      /norm is "group"; expected batch, layer/,
    ],
    [
      "a dropout of 1",
      async () => nn.graphTransformerLayer({ dim: 4, heads: 2, dropout: 1 }),
      /dropout in \[0, 1\), got 1/,
    ],
    ["a clamp of 0", async () => nn.graphTransformerLayer({ dim: 4, heads: 2, clamp: 0 }), /positive clamp, got 0/],
    ["nodes of another width", apply([4, 6]), /expected nodes \[4, 4\], got \[4, 6\]/],
    ["fewer nodes than the graphs have", apply([3, 4]), /expected nodes \[4, 4\], got \[3, 4\]/],
    ["other edges than the graphs have", apply([4, 4], [2, 4]), /expected edges \[5, 4\], got \[2, 4\]/],
    ["no edge features where it reads them", apply([4, 4], []), /expected features of edges, got none/],
    [
      "sources without destinations",
      apply([4, 4], undefined, { ...batchGraphs([three]), dst: NDArray.zeros([4], "int32") }),
      /5 sources and 4 destinations/,
    ],
    [
      "inputs that are no graphs",
      apply([4, 4], undefined, { src: NDArray.zeros([1], "int32") }),
      /dst, graph, sizes, nodes are missing/,
    ],
  ])("refuses %s", async (_, call, message) => {
    await expect(call()).rejects.toThrow(message);
  });
});

/** Rows [n, 8] filled up with ones. */
const longer = (rows: NDArray, n: number): NDArray =>
  NDArray.from([...rows.toNumbers(), ...Array<number>(n * 8 - rows.size).fill(1)], "float32", [n, 8]);

/** The nodes of graphs of 3 and 4 nodes as [2, 4, 8]. */
const grid = (h: NDArray): NDArray => {
  const list = h.toNumbers();
  return NDArray.from([...list.slice(0, 24), ...Array<number>(8).fill(5), ...list.slice(24)], "float32", [2, 4, 8]);
};
const places = (all: readonly graphs.Graph[]): number[] =>
  all.flatMap(({ src, dst }, i) => Array.from(src, (from, k) => (i * 4 + (dst[k] as number)) * 4 + from));
function edgeGrid(e: NDArray, all: readonly graphs.Graph[]): NDArray {
  const list = Array<number>(2 * 4 * 4 * 8).fill(3);
  for (const [k, cell] of places(all).entries()) for (let j = 0; j < 8; j++) list[cell * 8 + j] = e.at(k * 8 + j);
  return NDArray.from(list, "float32", [2, 4, 4, 8]);
}

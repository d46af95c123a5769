import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { graphs, NDArray } from "../../../src/index.js";

const { graph, batchGraphs, padGraphs } = graphs;
const pairs = ({ src, dst }: graphs.Graph): number[][] => Array.from(src, (from, k) => [from, dst[k] as number]);
const path = (n: number): graphs.Graph =>
  graph(
    n,
    Array.from({ length: n - 1 }, (_, i) => [i, i + 1] as const),
    { undirected: true },
  );
const numbers = (array: NDArray | undefined): number[] | undefined => array?.toNumbers();

describe("a graph", () => {
  it("that is undirected has each edge in both directions with its type and features, and a self-loop once", () => {
    const made = graph(
      3,
      [
        [0, 1],
        [2, 2],
        [1, 2],
      ],
      {
        undirected: true,
        edgeTypes: Int32Array.of(5, 6, 7),
        edgeFeatures: NDArray.from([[0.5], [0.6], [0.7]], "float64"),
      },
    );
    expect(pairs(made)).toEqual([
      [0, 1],
      [2, 2],
      [1, 2],
      [1, 0],
      [2, 1],
    ]);
    expect(Array.from(made.edgeTypes as Int32Array)).toEqual([5, 6, 7, 5, 7]);
    expect(numbers(made.edgeFeatures)).toEqual([0.5, 0.6, 0.7, 0.5, 0.7]);
  });

  it("comes from an adjacency matrix, directed", () => {
    expect(
      pairs(
        graphs.graphFromAdjacency(
          NDArray.from([
            [0, 2],
            [0, 1],
          ]),
        ),
      ),
    ).toEqual([
      [0, 1],
      [1, 1],
    ]);
  });

  it("is completed without self-loops, keeping its positions", () => {
    const complete = graphs.completeGraph(graphs.withLaplacian(path(3), 1));
    expect(pairs(complete)).toEqual([
      [0, 1],
      [0, 2],
      [1, 0],
      [1, 2],
      [2, 0],
      [2, 1],
    ]);
    expect(numbers(complete.positions)).toEqual(numbers(graphs.laplacianPositionalEncoding(path(3), 1)));
    expect(graphs.completeGraph(graph(1, [])).src.length).toBe(0);
  });

  it.each<[string, () => unknown, RegExp]>([
    [
      "an index too large",
      () =>
        graph(2, [
          [0, 1],
          [0, 2],
        ]),
      /edge 1 is 0 → 2; expected nodes from 0 to 1/,
    ],
    ["an index that is no whole number", () => graph(2, [[0.5, 1]]), /edge 0 is 0.5 → 1/],
    ["a negative index", () => graph(2, [[0, -1]]), /edge 0 is 0 → -1/],
    ["no node", () => graph(0, []), /positive whole number of nodes, got 0/],
    ["other types than edges", () => graph(2, [[0, 1]], { edgeTypes: Int32Array.of(1, 2) }), /2 edgeTypes for 1 edges/],
    ["a negative type", () => graph(2, [], { nodeTypes: Int32Array.of(0, -1) }), /nodeTypes\[1\] is -1/],
    ["features of other rows", () => graph(2, [], { nodeFeatures: NDArray.from([[1]]) }), /expected \[2, …\]/],
    ["features not finite", () => graph(1, [], { nodeFeatures: NDArray.from([[Number.NaN]]) }), /row 0 is not finite/],
    [
      "sources without destinations",
      () => batchGraphs([{ nodes: 2, src: Int32Array.of(0), dst: Int32Array.of() }]),
      /1 sources and 0 destinations/,
    ],
    [
      "an adjacency not square",
      () => graphs.graphFromAdjacency(NDArray.zeros([2, 3])),
      /square matrix, got shape \[2, 3\]/,
    ],
    [
      "an adjacency not finite",
      () =>
        graphs.graphFromAdjacency(
          NDArray.from([
            [0, Number.POSITIVE_INFINITY],
            [0, 0],
          ]),
        ),
      /entry \[0, 1\] is Infinity/,
    ],
    ["k below 1", () => graphs.laplacianPositionalEncoding(path(3), 0), /expected k .* got 0/],
    ["no round", () => graphs.wlRoles(path(3), { maxIterations: 0 }), /maxIterations .* got 0/],
  ])("is refused with %s", (_, call, message) => expect(call).toThrow(message));
});

describe("Laplacian positions", () => {
  it("of a ring are known: 1 − cos(2πj / n)", () => {
    const ring = graph(
      6,
      Array.from({ length: 6 }, (_, i) => [i, (i + 1) % 6] as const),
      { undirected: true },
    );
    const expected = [0, 1, 1, 2, 2, 3].map((j) => 1 - Math.cos((2 * Math.PI * j) / 6)).sort((a, b) => a - b);
    // j and n − j are equal: 0, 0.5, 0.5, 1.5, 1.5, 2
    const { values } = graphs.laplacianSpectrum(ring);
    for (const [i, value] of [0, 0.5, 0.5, 1.5, 1.5, 2].entries()) expect(values.at(i)).toBeCloseTo(value, 12);
    expect(expected[0]).toBe(0);
  });

  it("are unit vectors at right angles, and do not depend on the order of nodes but for the sign", () => {
    const one = graphs.stochasticBlockModel({ sizes: [5, 4], inside: 0.8, across: 0.2, seed: 3 });
    const order = [3, 0, 8, 1, 5, 2, 7, 4, 6];
    const moved = graph(
      9,
      pairs(one).map(([from, to]) => [order[from as number] as number, order[to as number] as number]),
    );
    const [a, b] = [graphs.laplacianPositionalEncoding(one, 3), graphs.laplacianPositionalEncoding(moved, 3)];
    for (let j = 0; j < 3; j++) {
      const [column, other] = [a, b].map((pe) => Array.from({ length: 9 }, (_, node) => pe.at(node * 3 + j))) as [
        number[],
        number[],
      ];
      expect(column.reduce((sum, x) => sum + x * x, 0)).toBeCloseTo(1, 6);
      const there = column.map((_, node) => other[order[node] as number] as number);
      const sign = Math.sign(column.reduce((sum, x, i) => sum + x * (there[i] as number), 0));
      for (const [i, x] of column.entries()) expect(there[i]).toBeCloseTo(sign * x, 5);
    }
  });

  it("of too few nodes are filled with columns of 0; one node, isolated nodes, loops and directed edges are finite", () => {
    expect(numbers(graphs.laplacianPositionalEncoding(graph(1, []), 2))).toEqual([0, 0]);
    expect(graphs.laplacianPositionalEncoding(path(2), 3).shape).toEqual([2, 3]);
    for (const odd of [
      graph(4, [[0, 1]]),
      graph(3, [
        [0, 0],
        [0, 1],
        [1, 2],
      ]),
      graph(4, []),
    ])
      expect(graphs.laplacianPositionalEncoding(odd, 2).toNumbers().every(Number.isFinite)).toBe(true);
  });

  it("use degrees of at least 1, and count equal edges", () => {
    expect(
      numbers(
        graphs.normalizedLaplacian(
          graph(2, [
            [0, 1],
            [0, 1],
          ]),
        ),
      ),
    ).toEqual([1, 0, -2 / Math.SQRT2, 1]);
  });
});

describe("roles", () => {
  it("tell the ends of a path from its middle after one round, and more after more", () => {
    const roles = graphs.wlRoles(path(5));
    expect(new Set(roles).size).toBe(2);
    expect([roles[0], roles[1]]).toEqual([roles[4], roles[2]]);
    expect(new Set(graphs.wlRoles(path(5), { maxIterations: 4 })).size).toBe(3);
  });
});

describe("a batch side by side", () => {
  const [a, b] = [
    graph(2, [[0, 1]], {
      nodeTypes: Int32Array.of(3, 4),
      edgeTypes: Int32Array.of(1),
      target: [0.5],
      nodeTargets: Int32Array.of(0, 1),
    }),
    graph(
      3,
      [
        [2, 0],
        [1, 1],
      ],
      {
        nodeTypes: Int32Array.of(5, 6, 7),
        edgeTypes: Int32Array.of(2, 3),
        target: [1.5],
        nodeTargets: Int32Array.of(1, 0, 1),
      },
    ),
  ];

  it("moves indices behind the graphs before", () => {
    const batch = batchGraphs([a, b]);
    expect(numbers(batch.src)).toEqual([0, 4, 3]);
    expect(numbers(batch.dst)).toEqual([1, 2, 3]);
    expect(numbers(batch.graph)).toEqual([0, 0, 1, 1, 1]);
    expect(numbers(batch.sizes)).toEqual([2, 3]);
    expect(numbers(batch.nodes)).toEqual([3, 4, 5, 6, 7]);
    expect(numbers(batch.edges)).toEqual([1, 2, 3]);
    expect(batch.targets?.toArray()).toEqual([[0.5], [1.5]]);
    expect([batch.nodeMask, batch.edgeMask]).toEqual([undefined, undefined]);
  });

  it("is filled to given totals under masks", () => {
    const batch = batchGraphs([a, b], { pad: { nodes: 7, edges: 4, graphs: 3 } });
    expect(numbers(batch.nodeMask)).toEqual([1, 1, 1, 1, 1, 0, 0]);
    expect(numbers(batch.edgeMask)).toEqual([1, 1, 1, 0]);
    expect(numbers(batch.sizes)).toEqual([2, 3, 0]);
    expect(numbers(batch.nodeTargets)).toEqual([0, 1, 1, 0, 1, -100, -100]);
    expect(batch.targets?.shape).toEqual([3, 1]);
  });

  it("without edges has one that is masked", () => {
    const batch = batchGraphs([graph(2, [])]);
    expect([numbers(batch.src), numbers(batch.edgeMask)]).toEqual([[0], [0]]);
  });

  it("has one row a graph when padded, edges by destination and source", () => {
    const batch = padGraphs([a, b]);
    expect(batch.nodes.toArray()).toEqual([
      [3, 4, 0],
      [5, 6, 7],
    ]);
    expect(batch.nodeMask?.toArray()).toEqual([
      [1, 1, 0],
      [1, 1, 1],
    ]);
    expect(batch.adjacency?.toArray()).toEqual([
      [
        [0, 0, 0],
        [1, 0, 0],
        [0, 0, 0],
      ],
      [
        [0, 0, 1],
        [0, 1, 0],
        [0, 0, 0],
      ],
    ]);
    expect(((batch.edges as NDArray).toArray() as number[][][])[1]).toEqual([
      [0, 0, 2],
      [0, 3, 0],
      [0, 0, 0],
    ]);
    expect(
      padGraphs([
        graph(2, [
          [0, 1],
          [0, 1],
        ]),
      ]).adjacency?.toNumbers(),
    ).toEqual([0, 0, 2, 0]);
  });

  it.each<[string, () => unknown, RegExp]>([
    ["no graph", () => batchGraphs([]), /batchGraphs: expected at least one graph, got none/],
    [
      "graphs of two kinds",
      () => batchGraphs([a, path(2)]),
      /nodeTypes of graph 1 is not given, that of graph 0 given/,
    ],
    [
      "more nodes than room",
      () => batchGraphs([a, b], { pad: { nodes: 4, edges: 9 } }),
      /room for 4 nodes, but the graphs have 5/,
    ],
    ["more edges than room", () => batchGraphs([a, b], { pad: { nodes: 9, edges: 2 } }), /room for 2 edges/],
    [
      "equal edges with types, padded",
      () =>
        padGraphs([
          graph(
            2,
            [
              [0, 1],
              [0, 1],
            ],
            { edgeTypes: Int32Array.of(0, 1) },
          ),
        ]),
      /edge 0 → 1 twice/,
    ],
    [
      "less room than the largest graph",
      () => padGraphs([a, b], { nodes: 2 }),
      /room for 2 nodes, but the graphs have 3/,
    ],
  ])("is refused with %s", (_, call, message) => expect(call).toThrow(message));
});

describe("stochastic block models", () => {
  it("have the density asked for, inside and across, no self-loops, and depend on the seed alone", () => {
    const make = (index: number) =>
      graphs.stochasticBlockModel({ sizes: [12, 12], inside: 0.5, across: 0.1, seed: 7, index });
    const count = { inside: 0, across: 0 };
    for (let index = 0; index < 40; index++) {
      const { src, dst, nodeTargets } = make(index);
      for (const [k, from] of src.entries()) {
        expect(from).not.toBe(dst[k]);
        count[nodeTargets?.[from] === nodeTargets?.[dst[k] as number] ? "inside" : "across"]++;
      }
    }
    expect(count.inside / (40 * 2 * 12 * 11)).toBeCloseTo(0.5, 1);
    expect(count.across / (40 * 2 * 12 * 12)).toBeCloseTo(0.1, 1);
    expect(make(3)).toEqual(make(3));
    expect(make(3)).not.toEqual(make(4));
  });

  it("of the CLUSTER task show one node of each community", () => {
    for (const { nodes, nodeTypes, nodeTargets } of graphs.clusterGraphs(5, { seed: 1 })) {
      expect(nodes).toBeGreaterThanOrEqual(24);
      expect(nodes).toBeLessThanOrEqual(42);
      const shown = [...(nodeTypes as Int32Array).entries()].filter(([, type]) => type > 0);
      expect(shown.map(([, type]) => type).sort()).toEqual([1, 2, 3]);
      for (const [node, type] of shown) expect(nodeTargets?.[node]).toBe(type - 1);
    }
  });

  it.each([
    [{ sizes: [] }, /at least one node/],
    [{ sizes: [2, 0] }, /at least one node/],
    [{ inside: 1.5 }, /inside to be a probability/],
  ])("are refused with %o", (wrong, message) =>
    expect(() => graphs.stochasticBlockModel({ sizes: [3], inside: 0.5, across: 0.1, seed: 1, ...wrong })).toThrow(
      message,
    ),
  );
});

describe("files of graphs", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "graphs-"));
  });
  afterAll(() => rm(folder, { recursive: true }));
  const write = async (name: string, text: string): Promise<string> => {
    await writeFile(join(folder, name), text);
    return join(folder, name);
  };

  it("hold an edge a line, with types, features, comments and a header", async () => {
    const plain = await graphs.readEdgeList(await write("plain.txt", "# a comment\n0 1\r\n\n1\t2\n"), {
      undirected: true,
    });
    expect([plain.nodes, pairs(plain)]).toEqual([
      3,
      [
        [0, 1],
        [1, 2],
        [1, 0],
        [2, 1],
      ],
    ]);
    const typed = await graphs.readEdgeList(await write("typed.csv", "source,target,type\n1,2,5\n2,3,0\n"), {
      columns: "types",
      firstNode: 1,
      nodes: 4,
    });
    expect([typed.nodes, pairs(typed), Array.from(typed.edgeTypes as Int32Array)]).toEqual([
      4,
      [
        [0, 1],
        [1, 2],
      ],
      [5, 0],
    ]);
    expect(graphs.parseEdgeList("0 1 0.5 2\n1 0 1e-1 3", { columns: "features" }).edgeFeatures?.shape).toEqual([2, 2]);
  });

  it.each<[string, string, object, RegExp]>([
    ["a field that is no number", "0 1\n0 x", {}, /list.txt, line 2: expected a whole number, got "x"/],
    ["one field", "0 1\n\n2", {}, /list.txt, line 3: expected a source and a destination/],
    ["a node outside", "0 1\n1 7", { nodes: 3 }, /list.txt, line 2: node 7 is outside 0 to 2/],
    ["a node before the first", "1 1\n0 1", { firstNode: 1 }, /line 2: node 0 is outside 1 to 1/],
    ["lines of two lengths", "0 1\n0 1 2", {}, /line 2: 3 fields, but 2/],
    ["columns that were not told", "0 1 2", {}, /1 columns beside source and destination; say columns/],
    [
      "a feature that is not finite",
      "0 1 Infinity",
      { columns: "features" },
      /line 1: expected a finite number, got "Infinity"/,
    ],
    ["nothing", "# nothing", {}, /expected an edge a line, got none/],
  ])("are refused with %s, by line", async (_, text, options, message) => {
    const file = await write("list.txt", text);
    await expect(graphs.readEdgeList(file, options)).rejects.toThrow(message);
  });

  it("hold JSON, one graph or several", async () => {
    const file = await write(
      "graphs.json",
      JSON.stringify([
        { nodes: 2, edges: [[0, 1]], undirected: true, nodeFeatures: [[1], [2]], edgeTypes: [4], target: [0.5] },
      ]),
    );
    const [one] = await graphs.readGraphJson(file);
    expect(one && pairs(one)).toEqual([
      [0, 1],
      [1, 0],
    ]);
    expect(Array.from(one?.edgeTypes as Int32Array)).toEqual([4, 4]);
    expect(one?.target).toEqual([0.5]);
  });

  it.each<[unknown, RegExp]>([
    [{ nodes: 2 }, /g: edges: expected a list/],
    [{ nodes: 2, edges: [[0]] }, /g: edges\[0\]: expected a pair/],
    [{ nodes: 2, edges: [[0, 2]] }, /g: .*edge 0 is 0 → 2/],
    [
      [
        { nodes: 2, edges: [] },
        { nodes: 2, edges: [], color: 1 },
      ],
      /g, graph 1: color: there is no such key/,
    ],
    [{ nodes: 1, edges: [], nodeTypes: [0.5] }, /nodeTypes\[0\]: expected a whole number/],
    [{ nodes: 2, edges: [], nodeFeatures: [[1], [1, 2]] }, /nodeFeatures\[1\]: 2 numbers, but 1/],
    [{ edges: [] }, /g: .*positive whole number of nodes, got undefined/],
    [7, /g: graph: expected an object/],
  ])("of JSON are refused by key: %j", (value, message) =>
    expect(() => graphs.graphsFromJson(value, "g")).toThrow(message),
  );

  it("are folders of the TU collection", async () => {
    await write("T_A.txt", "1, 2\n2, 1\n3, 4\n5, 4\n");
    await write("T_graph_indicator.txt", "1\n1\n2\n2\n2\n");
    await write("T_graph_labels.txt", "1\n-1\n");
    await write("T_node_labels.txt", "3\n4\n3\n5\n4\n");
    await write("T_edge_attributes.txt", "0.5\n0.5\n1\n2\n");
    const { graphs: read, classes } = await graphs.readTUDataset(folder);
    expect(read.map(({ nodes }) => nodes)).toEqual([2, 3]);
    expect(read.map(pairs)).toEqual([
      [
        [0, 1],
        [1, 0],
      ],
      [
        [0, 1],
        [2, 1],
      ],
    ]);
    expect(classes).toEqual([-1, 1]);
    expect(read.map(({ target }) => target)).toEqual([[1], [0]]);
    expect(Array.from(read[1]?.nodeTypes as Int32Array)).toEqual([0, 2, 1]);
    expect(numbers(read[1]?.edgeFeatures)).toEqual([1, 2]);
  });

  it.each<[Partial<Record<graphs.TUPart, string>>, RegExp]>([
    [{ A: "1, 2" }, /expected T_A.txt and T_graph_indicator.txt/],
    [{ A: "1, 3", graph_indicator: "1\n1" }, /T_A.txt, line 1: node 3 is outside 1 to 2/],
    [{ A: "1, 2", graph_indicator: "1\n2" }, /T_A.txt, line 1: nodes 1 and 2 are of different graphs/],
    [{ A: "", graph_indicator: "1\n3" }, /graph 2 has not a node/],
    [{ A: "", graph_indicator: "0" }, /T_graph_indicator.txt, line 1: graphs are counted from 1/],
    [{ A: "1, 2", graph_indicator: "1\n1", node_labels: "0" }, /T_node_labels.txt: 1 lines for 2 nodes/],
    [{ A: "1, 2", graph_indicator: "1\nx" }, /T_graph_indicator.txt, line 2: expected a whole number/],
  ])("of the TU collection are refused with file and line", (texts, message) =>
    expect(() => graphs.parseTUDataset(texts, "T")).toThrow(message),
  );

  it("that are missing are named", async () => {
    await expect(graphs.readEdgeList(join(folder, "none"))).rejects.toThrow(/none: cannot be opened/);
    await expect(graphs.readTUDataset(join(folder, "none"))).rejects.toThrow(/none: cannot be read as a folder/);
  });
});

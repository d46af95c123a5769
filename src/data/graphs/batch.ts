/** Graphs of different sizes as arrays for one program: side by side with one list of edges, or padded to a common size. */
import { fail, formatShape, NDArray } from "../../tensor/index.js";
import { checkGraph, type Graph } from "./graph.js";
import { gridOf, indicesOf, type Rows, rowsOf } from "./rows.js";

/** What a program is fed: the names of `SparseGraphs` or `DenseGraphs`, and targets where the graphs have them. */
export interface GraphBatch {
  readonly [name: string]: NDArray;
  readonly sizes: NDArray;
  readonly nodes: NDArray;
}

export interface BatchOptions {
  /**
   * Fill up to these totals with nodes and edges that are masked, so that batches of other graphs have the same shapes
   * and one compiled program serves them all; default: neither filling nor masks.
   */
  readonly pad?: { readonly nodes: number; readonly edges: number; readonly graphs?: number };
}

/**
 * Side by side, block-diagonal: node indices of a graph are moved behind those of the graphs before it.
 *
 *   src, dst int32 [m]; graph int32 [n]; sizes float32 [graphs]; nodes; edges; positions; roles;
 *   nodeTargets int32 [n], −100 at filled nodes; targets float32 [graphs, t], 0 at filled graphs; nodeMask, edgeMask bool
 *
 * Without any edge one masked edge stands in. Throws for no graph, graphs that do not have the same attributes, and more
 * nodes, edges or graphs than there is room for.
 */
export function batchGraphs(graphs: readonly Graph[], { pad }: BatchOptions = {}): GraphBatch {
  checkBatch("batchGraphs", graphs);
  const [n, m] = [total(graphs, ({ nodes }) => nodes), total(graphs, ({ src }) => src.length)];
  const room = { nodes: n, edges: Math.max(m, 1), graphs: graphs.length, ...pad };
  checkRoom("batchGraphs", { nodes: n, edges: m, graphs: graphs.length }, room);
  const offsets = starts(graphs.map(({ nodes }) => nodes));
  const moved = (of: (graph: Graph) => Int32Array): number[] =>
    graphs.flatMap((graph, i) => Array.from(of(graph), (node) => node + (offsets[i] as number)));
  const rows: Rows = { graphs, nodes: room.nodes, edges: room.edges };
  return {
    src: indicesOf(
      moved(({ src }) => src),
      room.edges,
      0,
    ),
    dst: indicesOf(
      moved(({ dst }) => dst),
      room.edges,
      0,
    ),
    graph: indicesOf(
      graphs.flatMap(({ nodes }, i) => Array<number>(nodes).fill(i)),
      room.nodes,
      0,
    ),
    sizes: NDArray.from(Array.from({ length: room.graphs }, (_, i) => graphs[i]?.nodes ?? 0)),
    ...rowsOf(rows),
    ...targetsOf(graphs, room.graphs),
    ...(pad && { nodeMask: maskOf(n, room.nodes) }),
    ...((pad || m === 0) && { edgeMask: maskOf(m, room.edges) }),
  };
}

/**
 * One graph a row, padded to the largest (or to `nodes`): nodes [graphs, N], edges [graphs, N, N] (destination, source),
 * adjacency float32 [graphs, N, N], nodeMask bool [graphs, N]. Throws as `batchGraphs`, and for equal edges with types or
 * features, which one entry cannot keep apart.
 */
export function padGraphs(graphs: readonly Graph[], { nodes }: { readonly nodes?: number } = {}): GraphBatch {
  checkBatch("padGraphs", graphs);
  const largest = Math.max(...graphs.map((graph) => graph.nodes));
  const N = nodes ?? largest;
  checkRoom("padGraphs", { nodes: largest }, { nodes: N });
  const adjacency = new Float32Array(graphs.length * N * N);
  for (const [i, { src, dst, edgeTypes, edgeFeatures }] of graphs.entries())
    for (let k = 0; k < src.length; k++) {
      const entry = (i * N + (dst[k] as number)) * N + (src[k] as number);
      if (adjacency[entry] && (edgeTypes || edgeFeatures))
        fail(
          "argument",
          `padGraphs: graph ${i} has edge ${src[k]} → ${dst[k]} twice, with types or features; batch it with batchGraphs`,
        );
      adjacency[entry] = (adjacency[entry] as number) + 1;
    }
  const shape = [graphs.length, N];
  const real = graphs.flatMap((graph) => Array.from({ length: N }, (_, node) => node < graph.nodes));
  return {
    adjacency: new NDArray(adjacency, [...shape, N], "float32"),
    sizes: NDArray.from(graphs.map((graph) => graph.nodes)),
    ...gridOf(graphs, N),
    ...targetsOf(graphs, graphs.length),
    nodeMask: NDArray.from(real, "bool", shape),
  };
}

function targetsOf(graphs: readonly Graph[], count: number): { targets?: NDArray } {
  const width = graphs[0]?.target?.length;
  if (width === undefined) return {};
  const values = Array.from({ length: count }, (_, i) => graphs[i]?.target ?? Array<number>(width).fill(0)).flat();
  return { targets: NDArray.from(values, "float32", [count, width]) };
}

const attributes = [
  "nodeTypes",
  "nodeFeatures",
  "edgeTypes",
  "edgeFeatures",
  "nodeTargets",
  "target",
  "positions",
  "roles",
] as const;

function checkBatch(name: string, graphs: readonly Graph[]): void {
  const [first] = graphs;
  if (!first) fail("argument", `${name}: expected at least one graph, got none`);
  for (const [i, graph] of graphs.entries()) {
    checkGraph(graph, `${name}: graph ${i}`);
    for (const attribute of attributes) {
      const [mine, other] = [widthOf(graph[attribute]), widthOf(first[attribute])];
      if (mine !== other)
        fail(
          "argument",
          `${name}: ${attribute} of graph ${i} is ${mine}, that of graph 0 ${other}; expected graphs of one kind`,
        );
    }
  }
}

/** What must be the same in all graphs of a batch, in words. */
function widthOf(value: Int32Array | NDArray | readonly number[] | undefined): string {
  if (value === undefined) return "not given";
  if (value instanceof NDArray) return `rows of ${formatShape(value.shape.slice(1))} ${value.dtype}`;
  return value instanceof Int32Array ? "given" : `${value.length} numbers`;
}

function checkRoom(name: string, needed: Record<string, number>, room: Record<string, number>): void {
  for (const [what, count] of Object.entries(needed))
    if (!((room[what] as number) >= count))
      fail(
        "argument",
        `${name}: room for ${room[what]} ${what}, but the graphs have ${count}; give more, or fewer graphs`,
      );
}

const total = (graphs: readonly Graph[], of: (graph: Graph) => number): number =>
  graphs.reduce((sum, graph) => sum + of(graph), 0);

const starts = (counts: readonly number[]): number[] =>
  counts.map((_, i) => counts.slice(0, i).reduce((a, b) => a + b, 0));

const maskOf = (real: number, length: number): NDArray =>
  NDArray.from(
    Array.from({ length }, (_, i) => i < real),
    "bool",
    [length],
  );

/** The attributes of a batch's nodes and edges as arrays: one row each, or in a grid with a row a graph. */
import { NDArray } from "../../tensor/index.js";
import type { Graph } from "./graph.js";

export interface Rows {
  readonly graphs: readonly Graph[];
  /** Rows of nodes and edges, filled ones among them. */
  readonly nodes: number;
  readonly edges: number;
}

type Attribute = "nodeTypes" | "nodeFeatures" | "edgeTypes" | "edgeFeatures" | "nodeTargets" | "positions" | "roles";

/** The name in the batch, where it comes from (features where there are both), and what filled rows hold. */
const nodeRows: readonly (readonly [string, readonly Attribute[], number])[] = [
  ["nodes", ["nodeFeatures", "nodeTypes"], 0],
  ["positions", ["positions"], 0],
  ["roles", ["roles"], 1],
  ["nodeTargets", ["nodeTargets"], -100],
];
const edgeRows = [["edges", ["edgeFeatures", "edgeTypes"], 0]] as const;

/** Attributes one after another: [nodes] or [nodes, width], and so for edges. Nodes without either have type 0. */
export function rowsOf({ graphs, nodes, edges }: Rows): { readonly nodes: NDArray } & Record<string, NDArray> {
  const found: Record<string, NDArray> = {};
  for (const [name, attributes, fill] of nodeRows) {
    const values = graphs.map((graph) => attributeOf(graph, attributes));
    if (values[0]) found[name] = joined(values as NDArray[], nodes, fill);
  }
  for (const [name, attributes, fill] of edgeRows) {
    const values = graphs.map((graph) => attributeOf(graph, attributes));
    if (values[0]) found[name] = joined(values as NDArray[], edges, fill);
  }
  return { nodes: NDArray.zeros([nodes], "int32"), ...found };
}

/** Attributes in a grid: nodes [graphs, N, ..], edges [graphs, N, N, ..] by destination and source. */
export function gridOf(graphs: readonly Graph[], N: number): { readonly nodes: NDArray } & Record<string, NDArray> {
  const found: Record<string, NDArray> = {};
  const own = (graph: Graph): number[] => Array.from({ length: graph.nodes }, (_, node) => node);
  for (const [name, attributes, fill] of nodeRows) {
    const values = graphs.map((graph) => attributeOf(graph, attributes));
    if (values[0]) found[name] = placed(values as NDArray[], graphs.map(own), [N], fill);
  }
  const entries = ({ src, dst }: Graph): number[] => Array.from(src, (from, k) => (dst[k] as number) * N + from);
  for (const [name, attributes, fill] of edgeRows) {
    const values = graphs.map((graph) => attributeOf(graph, attributes));
    if (values[0]) found[name] = placed(values as NDArray[], graphs.map(entries), [N, N], fill);
  }
  return { nodes: NDArray.zeros([graphs.length, N], "int32"), ...found };
}

/** Whole numbers as int32 [length], filled up. */
export const indicesOf = (values: readonly number[], length: number, fill: number): NDArray =>
  NDArray.from(
    Array.from({ length }, (_, i) => values[i] ?? fill),
    "int32",
    [length],
  );

function attributeOf(graph: Graph, attributes: readonly Attribute[]): NDArray | undefined {
  for (const attribute of attributes) {
    const value = graph[attribute];
    if (value) return value instanceof NDArray ? value : new NDArray(value, [value.length], "int32");
  }
  return undefined;
}

/** Rows of all graphs in order. */
const joined = (values: readonly NDArray[], rows: number, fill: number): NDArray => {
  const starts = values.map((_, g) => values.slice(0, g).reduce((sum, { shape }) => sum + (shape[0] as number), 0));
  const places = values.map(({ shape }, g) =>
    Array.from({ length: shape[0] as number }, (_, k) => (starts[g] as number) + k),
  );
  return laid(values, places, [rows], fill);
};

/** Row k of graph g at place[g][k] of its part of the grid. */
function placed(
  values: readonly NDArray[],
  places: readonly number[][],
  grid: readonly number[],
  fill: number,
): NDArray {
  const cells = grid.reduce((a, b) => a * b, 1);
  const moved = places.map((own, g) => own.map((place) => g * cells + place));
  return laid(values, moved, [values.length, ...grid], fill);
}

function laid(values: readonly NDArray[], places: readonly number[][], grid: readonly number[], fill: number): NDArray {
  const [{ shape, dtype }] = values as [NDArray];
  const [, width = 1] = shape;
  const numbers = Array<number>(grid.reduce((a, b) => a * b, width)).fill(fill);
  for (const [g, value] of values.entries())
    for (const [k, place] of (places[g] as number[]).entries())
      for (let j = 0; j < width; j++) numbers[place * width + j] = value.at(k * width + j);
  return NDArray.from(numbers, dtype, [...grid, ...shape.slice(1)]);
}

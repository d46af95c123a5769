/** One graph: directed edges src[k] → dst[k] between numbered nodes, and what is known of nodes, edges and the whole. */
import { fail, formatShape, NDArray } from "../../tensor/index.js";

export interface GraphAttributes {
  /** A type (an atom, a word) of each node, whole numbers from 0 [nodes]. */
  readonly nodeTypes?: Int32Array | undefined;
  /** Numbers of each node [nodes, features]. */
  readonly nodeFeatures?: NDArray | undefined;
  /** A type of each edge [edges]. */
  readonly edgeTypes?: Int32Array | undefined;
  /** Numbers of each edge [edges, features]. */
  readonly edgeFeatures?: NDArray | undefined;
  /** The class of each node [nodes]. */
  readonly nodeTargets?: Int32Array | undefined;
  /** What is to be told of the whole graph: values, or one class. */
  readonly target?: readonly number[] | undefined;
  /** Positional encoding of each node [nodes, k]; see `withLaplacian`. */
  readonly positions?: NDArray | undefined;
  /** Structural role of each node, from 1 [nodes]; see `withRoles`. */
  readonly roles?: Int32Array | undefined;
}

export interface Graph extends GraphAttributes {
  readonly nodes: number;
  readonly src: Int32Array;
  readonly dst: Int32Array;
}

export interface GraphOptions extends GraphAttributes {
  /** Each pair stands for both directions, and so do its type and features; a self-loop stays one edge (default false). */
  readonly undirected?: boolean;
}

/**
 * A graph of `nodes` nodes from pairs [source, destination]. Equal pairs are several edges. Throws for no node, an index
 * outside the nodes, a number of types, features or targets other than that of what they describe, a negative type.
 */
export function graph(
  nodes: number,
  edges: readonly (readonly [number, number])[],
  { undirected = false, ...attributes }: GraphOptions = {},
): Graph {
  const src = Int32Array.from(edges, ([from]) => from);
  const dst = Int32Array.from(edges, ([, to]) => to);
  for (const [k, [from, to]] of edges.entries()) checkEdge(nodes, from, to, `edge ${k}`);
  const directed = checkGraph({ ...attributes, nodes, src, dst });
  return undirected ? bothDirections(directed) : directed;
}

/** An edge i → j where entry [i, j] of a matrix [n, n] is not 0. Throws where it is not square and finite. */
export function graphFromAdjacency(adjacency: NDArray, attributes: GraphAttributes = {}): Graph {
  const [n = 0, columns] = adjacency.shape;
  if (adjacency.shape.length !== 2 || n !== columns)
    fail("shape", `graphFromAdjacency: expected a square matrix, got shape ${formatShape(adjacency.shape)}`);
  const edges: [number, number][] = [];
  for (let i = 0; i < adjacency.size; i++) {
    const value = adjacency.at(i);
    const [from, to] = [Math.floor(i / n), i % n];
    if (!Number.isFinite(value)) fail("numeric", `graphFromAdjacency: entry [${from}, ${to}] is ${value}`);
    if (value !== 0) edges.push([from, to]);
  }
  return graph(n, edges, attributes);
}

/** Every node to every other, without self-loops; edges have type 0. Positions and roles stay those of the first graph. */
export function completeGraph({ edgeFeatures: _, edgeTypes, ...given }: Graph): Graph {
  const n = given.nodes;
  const src = new Int32Array(n * (n - 1));
  const dst = new Int32Array(n * (n - 1));
  for (let k = 0; k < src.length; k++) {
    const from = Math.floor(k / (n - 1));
    src[k] = from;
    dst[k] = k % (n - 1) < from ? k % (n - 1) : (k % (n - 1)) + 1;
  }
  return { ...given, src, dst, ...(edgeTypes && { edgeTypes: new Int32Array(src.length) }) };
}

/** The number of edges into each node. */
export function inDegrees({ nodes, dst }: Graph): Int32Array {
  const degrees = new Int32Array(nodes);
  for (const to of dst) degrees[to] = (degrees[to] as number) + 1;
  return degrees;
}

/** Indices of nodes are int32. */
const mostNodes = 2 ** 31;

/** The graph, if it is one: for readers, whose arrays come from files. `where` begins the error. */
export function checkGraph(given: Graph, where = "graph"): Graph {
  const { nodes, src, dst } = given;
  if (!Number.isInteger(nodes) || nodes < 1)
    fail("argument", `${where}: expected a positive whole number of nodes, got ${nodes}`);
  if (nodes > mostNodes) fail("argument", `${where}: ${nodes} nodes; expected at most ${mostNodes}`);
  if (src.length !== dst.length)
    fail("shape", `${where}: ${src.length} sources and ${dst.length} destinations; expected as many of each`);
  for (let k = 0; k < src.length; k++) checkEdge(nodes, src[k] as number, dst[k] as number, `edge ${k}`, where);
  const perNode = { nodeTypes: given.nodeTypes, nodeTargets: given.nodeTargets, roles: given.roles };
  for (const [name, values] of Object.entries(perNode)) checkCount(where, name, values, nodes, "nodes");
  checkCount(where, "edgeTypes", given.edgeTypes, src.length, "edges");
  for (const name of ["nodeFeatures", "positions"] as const) checkRows(where, name, given[name], nodes, "nodes");
  checkRows(where, "edgeFeatures", given.edgeFeatures, src.length, "edges");
  return given;
}

function checkEdge(nodes: number, from: number, to: number, edge: string, where = "graph"): void {
  for (const end of [from, to])
    if (!Number.isInteger(end) || end < 0 || end >= nodes)
      fail("argument", `${where}: ${edge} is ${from} → ${to}; expected nodes from 0 to ${nodes - 1}`);
}

function checkCount(where: string, name: string, values: Int32Array | undefined, count: number, of: string): void {
  if (!values) return;
  if (values.length !== count) fail("shape", `${where}: ${values.length} ${name} for ${count} ${of}`);
  // A class of −100 is one that does not count, as in crossEntropy.
  const bad = name === "nodeTargets" ? -1 : values.findIndex((value) => value < 0);
  if (bad >= 0) fail("argument", `${where}: ${name}[${bad}] is ${values[bad]}; expected whole numbers from 0`);
}

function checkRows(where: string, name: string, values: NDArray | undefined, count: number, of: string): void {
  if (!values) return;
  if (values.shape.length !== 2 || values.shape[0] !== count)
    fail(
      "shape",
      `${where}: ${name} has shape ${formatShape(values.shape)}; expected [${count}, …], a row for each of the ${of}`,
    );
  const bad = values.toNumbers().findIndex((value) => !Number.isFinite(value));
  if (bad >= 0)
    fail("numeric", `${where}: ${name} of row ${Math.floor(bad / (values.shape[1] as number))} is not finite`);
}

function bothDirections(given: Graph): Graph {
  const { src, dst, edgeTypes, edgeFeatures } = given;
  const order = Array.from(src.keys()).concat(Array.from(src.keys()).filter((k) => src[k] !== dst[k]));
  const back = (i: number): boolean => i >= src.length;
  const take = (values: Int32Array): Int32Array => Int32Array.from(order, (k) => values[k] as number);
  return {
    ...given,
    src: Int32Array.from(order, (k, i) => (back(i) ? dst : src)[k] as number),
    dst: Int32Array.from(order, (k, i) => (back(i) ? src : dst)[k] as number),
    ...(edgeTypes && { edgeTypes: take(edgeTypes) }),
    ...(edgeFeatures && { edgeFeatures: rows(edgeFeatures, order) }),
  };
}

/** Rows of a matrix, by index. */
function rows(matrix: NDArray, order: readonly number[]): NDArray {
  const width = matrix.shape[1] as number;
  const values = order.flatMap((k) => Array.from({ length: width }, (_, j) => matrix.at(k * width + j)));
  return NDArray.from(values, matrix.dtype, [order.length, width]);
}

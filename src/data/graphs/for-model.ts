/** Graphs as a graph transformer reads them: placed, batched in its layout, and checked against its tables. */
import type { GraphTransformer, GraphTransformerOptions } from "../../models/index.js";
import { fail } from "../../tensor/index.js";
import { type BatchOptions, batchGraphs, type GraphBatch, padGraphs } from "./batch.js";
import type { Graph } from "./graph.js";
import { withLaplacian, withRoles } from "./positions.js";

/**
 * The graph with the positions or roles that the model reads, found once: do it before batches are made. Positions that
 * it has already are kept where they are as many.
 */
export function placeGraph(
  graph: Graph,
  { posEnc = { kind: "none" } }: Pick<GraphTransformerOptions, "posEnc">,
): Graph {
  if (posEnc.kind === "laplacian" && graph.positions?.shape[1] !== posEnc.k) return withLaplacian(graph, posEnc.k);
  if (posEnc.kind === "wl" && !graph.roles) return withRoles(graph);
  return graph;
}

export interface ModelBatchOptions extends BatchOptions {
  /**
   * "lists": side by side; "padded": one graph a row, `pad.nodes` being the nodes of one graph. The numbers are the same.
   * Lists take memory by edges, rows by the largest graph squared; a step on graphs of some 40 nodes takes rows half the time.
   * Default "lists", and for full attention, which needs them, "padded".
   */
  readonly layout?: "lists" | "padded";
  /** The batch is for a training step (default true). */
  readonly training?: boolean;
}

/**
 * What `model.apply` takes. Throws as `batchGraphs`, for types, features and roles that the model has no room for, and for one single node
 * or edge with batch norm, which a training step could not normalise (`training: false` lets it pass).
 */
export function batchFor(
  { options }: Pick<GraphTransformer, "options">,
  graphs: readonly Graph[],
  { pad, training = true, layout = options.attention === "full" ? "padded" : "lists" }: ModelBatchOptions = {},
): GraphBatch {
  const placed = graphs.map((graph) => placeGraph(graph, options));
  for (const [i, graph] of placed.entries()) checkTables(options, graph, `graph ${i}`);
  if (training && placed.length > 0 && usesBatchNorm(options)) checkCounts(options, placed);
  return layout === "padded" ? padGraphs(placed, pad && { nodes: pad.nodes }) : batchGraphs(placed, pad && { pad });
}

function checkTables(options: GraphTransformerOptions, graph: Graph, where: string): void {
  const { nodeTypes, nodeFeatures, edgeTypes, edgeFeatures, posEnc } = options;
  checkTypes(where, "nodeTypes", nodeTypes, graph.nodeTypes, graph.nodes);
  if (options.attention !== "full") checkTypes(where, "edgeTypes", edgeTypes, graph.edgeTypes, graph.src.length);
  if (posEnc?.kind === "wl") checkTypes(where, "roles", posEnc.roles, graph.roles, graph.nodes);
  checkWidth(where, "nodeFeatures", nodeFeatures, graph.nodeFeatures?.shape[1]);
  if (edgeFeatures !== "constant" && options.attention !== "full")
    checkWidth(where, "edgeFeatures", edgeFeatures, graph.edgeFeatures?.shape[1]);
}

/** Nodes without types all have type 0. */
function checkTypes(
  where: string,
  name: string,
  table: number | undefined,
  values: Int32Array | undefined,
  count: number,
): void {
  if (table === undefined) return;
  if (!values && name === "edgeTypes" && count > 0)
    fail("argument", `batchFor: ${where} has no edgeTypes, which the model reads`);
  const bad = values?.findIndex((value) => value >= table) ?? -1;
  if (bad >= 0)
    fail(
      "argument",
      `batchFor: ${where}: ${name}[${bad}] is ${values?.[bad]}; the model has a table of ${table}, from 0`,
    );
}

function checkWidth(where: string, name: string, expected: number | undefined, width: number | undefined): void {
  if (expected !== undefined && width !== expected)
    fail("argument", `batchFor: ${where} has ${width ?? "no"} ${name}; the model reads ${expected}`);
}

function usesBatchNorm({ norm = "batch" }: GraphTransformerOptions): boolean {
  return typeof norm === "string" ? norm === "batch" || norm === "both" : norm.batch !== undefined;
}

/** Batch norm needs two of what it normalises. */
function checkCounts(options: GraphTransformerOptions, graphs: readonly Graph[]): void {
  const sum = (of: (graph: Graph) => number): number => graphs.reduce((all, graph) => all + of(graph), 0);
  const edges = options.attention === "full" ? sum(({ nodes: n }) => n * (n - 1)) : sum(({ src }) => src.length);
  const stream = options.edgeTypes !== undefined || options.edgeFeatures !== undefined;
  for (const [what, count] of [
    ["node", sum(({ nodes }) => nodes)],
    ["edge", stream ? edges : 2],
  ] as const)
    if (count < 2)
      fail(
        "argument",
        `batchFor: ${count} ${what} in the batch, and one value has no variance for batch norm; use larger batches, norm: "layer", or training: false`,
      );
}

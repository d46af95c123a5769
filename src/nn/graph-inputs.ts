/** A batch of graphs as tensors, in one of two layouts; what the numbers of nodes and edges stand for is the model's. */
import { fail, type Tensor } from "../tensor/index.js";

type Shared = {
  /** Nodes of each graph, float [graphs]; 0 for one that only fills the batch. */
  readonly sizes: Tensor;
  /** Types, int [.., nodes], or features [.., nodes, features]. */
  readonly nodes: Tensor;
  /** Types, int, or features of edges. */
  readonly edges?: Tensor;
  /** Positional encodings [.., nodes, k]. */
  readonly positions?: Tensor;
  /** Structural roles from 1, int [.., nodes]. */
  readonly roles?: Tensor;
};

/** Side by side: nodes [n] and directed edges [m] of all graphs, one list each. */
export type SparseGraphs = Shared & {
  /** Edge k goes from node src[k] to node dst[k], int [m]. */
  readonly src: Tensor;
  readonly dst: Tensor;
  /** The graph of each node, int [n]. */
  readonly graph: Tensor;
  /** Bool [n], true where a node is real; absent: everywhere. */
  readonly nodeMask?: Tensor;
  /** Bool [m], true where an edge is real; absent: everywhere. */
  readonly edgeMask?: Tensor;
};

/** One graph a row: nodes [graphs, N], edges [graphs, N, N] from the node of the last axis to that of the one before. */
export type DenseGraphs = Shared & {
  /** How often each edge is there, float [graphs, N, N]. */
  readonly adjacency: Tensor;
  /** Bool [graphs, N], true where a node is real. */
  readonly nodeMask: Tensor;
};

export type GraphInputs = SparseGraphs | DenseGraphs;

export const isDense = (graphs: GraphInputs): graphs is DenseGraphs => "adjacency" in graphs;

/** Tensors by name, as a compiled function gets them. */
export type GraphTensors = Readonly<Record<string, Tensor | undefined>>;

const sparseNames = ["src", "dst", "graph", "sizes", "nodes"] as const;
const denseNames = ["adjacency", "nodeMask", "sizes", "nodes"] as const;

/** A program's inputs as graphs, others among them left alone. Throws, naming it, where one is missing. */
export function graphInputs(inputs: GraphTensors): GraphInputs {
  const names = inputs.adjacency ? denseNames : sparseNames;
  const missing = names.filter((name) => !inputs[name]);
  if (missing.length > 0)
    fail(
      "argument",
      `graphs: expected ${names.join(", ")}, as batchGraphs and padGraphs make them; ${missing.join(", ")} ${missing.length > 1 ? "are" : "is"} missing`,
    );
  return inputs as unknown as GraphInputs;
}

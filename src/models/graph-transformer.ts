/**
 * A transformer on graphs: nodes attend to their neighbours, and know where they are from eigenvectors of the graph's
 * Laplacian. Node classification, regression on whole graphs, and values of edges.
 *
 *   h = embed(node) + W PE;   e = embed(edge);   L layers (`graphTransformerLayer`);   MLP d → d/2 → d/4 → outputs
 *
 * per node, per graph after a mean, sum or maximum over its nodes, or per edge from h_src, h_dst and e side by side. In
 * training the columns of PE are multiplied by one random sign each, the same for all graphs of the batch. Inputs are
 * batches of `batchGraphs` or `padGraphs`; parameters have the authors' names, so that their checkpoints fit.
 *
 * Source: "A Generalization of Transformer Networks to Graphs", 2020.
 */
import {
  type DenseGraphs,
  dropout,
  Embedding,
  type GraphInputs,
  type GraphLayer,
  type GraphStream,
  type GraphTensors,
  type GraphTransformerLayerOptions,
  graphInputs,
  graphTransformerLayer,
  initializeAsTorch,
  isDense,
  Linear,
  Module,
  uninitialized,
} from "../nn/index.js";
import { eye, fail, isTraining, ones, random, type Tensor, zeros } from "../tensor/index.js";
import { edgeEnds, MLPReadout, type Readout, readout } from "./graph-readout.js";
import { checkGraphTransformer } from "./graph-transformer-options.js";

export type PositionEncoding =
  | { readonly kind: "laplacian"; readonly k: number }
  /** Roles below `roles` (the authors: 37 for molecules, 100 for block models). */
  | { readonly kind: "wl"; readonly roles: number }
  | { readonly kind: "none" };

export interface GraphTransformerOptions
  extends Pick<GraphTransformerLayerOptions, "heads" | "norm" | "dropout" | "residual" | "bias" | "clamp" | "eps"> {
  readonly task: "node" | "graph" | "edge";
  /** Default 10. */
  readonly layers?: number;
  /** Width d, at least 4 (default 64). */
  readonly hidden?: number;
  /** Nodes have a type below this, or this many features: one of the two. */
  readonly nodeTypes?: number;
  readonly nodeFeatures?: number;
  /** Edges have a type below this, or this many features, or are all alike ("constant"); default: no edge stream. */
  readonly edgeTypes?: number;
  readonly edgeFeatures?: number | "constant";
  /** Default none. */
  readonly posEnc?: PositionEncoding;
  /** A random sign for each column of Laplacian positions in training (default true). */
  readonly signFlip?: boolean;
  /** Over the nodes of a graph (default "mean"). */
  readonly readout?: Readout;
  /** "full": every node of a graph attends to all others, whatever its edges, which then all have type 0. */
  readonly attention?: "sparse" | "full";
  /** Classes or values to be told (default 1). */
  readonly outputs?: number;
  /** Dropout on embedded nodes: before positions are added, with task "node" after (default 0). */
  readonly inputDropout?: number;
  readonly seed?: number;
}

export class GraphTransformer extends Module<[GraphTensors]> {
  readonly embedding_h: Embedding | Linear;
  readonly embedding_e: Embedding | Linear | undefined;
  readonly embedding_lap_pos_enc: Linear | undefined;
  readonly embedding_wl_pos_enc: Embedding | undefined;
  readonly layers: GraphLayer[];
  readonly MLP_layer: MLPReadout;

  /** See `graphTransformer`. */
  constructor(readonly options: GraphTransformerOptions) {
    super();
    const { layers, hidden, edges, posEnc, outputs } = checkGraphTransformer(options);
    const { nodeTypes, nodeFeatures, task } = options;
    this.embedding_h = nodeTypes ? new Embedding(nodeTypes, hidden) : new Linear(nodeFeatures as number, hidden);
    this.embedding_e = edges ? edgeEmbedding(options, hidden) : undefined;
    this.embedding_lap_pos_enc = posEnc.kind === "laplacian" ? new Linear(posEnc.k, hidden) : undefined;
    this.embedding_wl_pos_enc = posEnc.kind === "wl" ? new Embedding(posEnc.roles, hidden) : undefined;
    const layer = { ...options, dim: hidden, edgeFeatures: edges };
    this.layers = Array.from({ length: layers }, () => graphTransformerLayer(layer));
    this.MLP_layer = new MLPReadout(task === "edge" ? (edges ? 3 : 2) * hidden : hidden, outputs);
  }

  /**
   * [n, outputs] for nodes, [graphs, outputs], or [m, outputs] for edges; of a padded batch [graphs, N, outputs] and
   * [graphs, N, N, outputs]. Throws where the batch lacks positions, roles or edges that the model reads.
   */
  override forward(inputs: GraphTensors): Tensor {
    const given = graphInputs(inputs);
    const graphs = this.options.attention === "full" ? complete(given) : given;
    const first: GraphStream = { h: this.embedNodes(graphs), e: this.embedEdges(graphs) };
    const { h, e } = this.layers.reduce(({ h, e }, layer) => layer.apply(h, graphs, e), first);
    const { task } = this.options;
    if (task === "node") return this.MLP_layer.apply(h);
    return this.MLP_layer.apply(
      task === "graph" ? readout(this.options.readout ?? "mean", h, graphs) : edgeEnds(h, e, graphs),
    );
  }

  private embedNodes(graphs: GraphInputs): Tensor {
    const { task, inputDropout: p = 0 } = this.options;
    const h = this.embedding_h.apply(graphs.nodes);
    return task === "node" ? dropout(this.placed(h, graphs), p) : this.placed(dropout(h, p), graphs);
  }

  /** h and what says where its nodes are. */
  private placed(h: Tensor, { positions, roles }: GraphInputs): Tensor {
    if (this.embedding_lap_pos_enc) {
      if (!positions)
        fail("argument", "graphTransformer: the model reads Laplacian positions; make graphs withLaplacian");
      const flipped = isTraining() && (this.options.signFlip ?? true) ? randomSignFlip(positions) : positions;
      return h.add(this.embedding_lap_pos_enc.apply(flipped));
    }
    if (!this.embedding_wl_pos_enc) return h;
    if (!roles) fail("argument", "graphTransformer: the model reads Weisfeiler-Lehman roles; make graphs withRoles");
    return h.add(this.embedding_wl_pos_enc.apply(roles));
  }

  private embedEdges(graphs: GraphInputs): Tensor | undefined {
    if (!this.embedding_e) return undefined;
    if (this.options.edgeFeatures === "constant") return this.embedding_e.apply(ones([...edgeShape(graphs), 1]));
    if (!graphs.edges)
      fail("argument", "graphTransformer: the model reads edge types or features; give the graphs some");
    return this.embedding_e.apply(graphs.edges);
  }
}

const edgeEmbedding = ({ edgeTypes, edgeFeatures }: GraphTransformerOptions, hidden: number): Embedding | Linear =>
  edgeTypes === undefined
    ? new Linear(edgeFeatures === "constant" ? 1 : (edgeFeatures as number), hidden)
    : new Embedding(edgeTypes, hidden);

/** Columns of positions [.., k], each times 1 or −1 at random. */
export const randomSignFlip = (positions: Tensor): Tensor =>
  positions.mul(
    random
      .bernoulli([positions.dim(-1)])
      .mul(2)
      .sub(1)
      .cast(positions.dtype),
  );

const edgeShape = (graphs: GraphInputs): readonly number[] => (isDense(graphs) ? graphs.adjacency : graphs.src).shape;

/** All pairs of different real nodes as edges, alike. */
function complete(graphs: GraphInputs): DenseGraphs {
  if (!isDense(graphs))
    return fail(
      "argument",
      "graphTransformer: full attention reads graphs padded to one size; make the batch with padGraphs",
    );
  const { adjacency, nodeMask, edges } = graphs;
  const real = nodeMask.cast(adjacency.dtype);
  const N = adjacency.dim(-1);
  const pairs = real.unsqueeze(1).mul(real.unsqueeze(2)).mul(eye(N, adjacency.dtype).neg().add(1));
  return { ...graphs, adjacency: pairs, ...(edges && { edges: zeros(edges.shape, edges.dtype) }) };
}

/**
 * A model from values, with torch's first values by `seed`. Throws where heads do not divide the width, where nodes or
 * edges have both types and features or nodes neither, and for k < 1.
 */
export function graphTransformer(options: GraphTransformerOptions): GraphTransformer {
  const model = uninitialized(() => new GraphTransformer(options));
  initializeAsTorch(model, { seed: options.seed ?? 0 });
  return model;
}

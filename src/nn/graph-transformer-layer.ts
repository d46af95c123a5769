/**
 * A transformer layer on graphs: attention along edges, then a feed-forward part, each with a residual and norms behind
 * the sum (post-norm); where edges have features, they are a second stream with weights of its own.
 *
 *   h₁ = Norm(h + O(dropout(o)))              e₁ = Norm(e + O_e(dropout(t)))
 *   h₂ = Norm(h₁ + W₂ dropout(relu(W₁ h₁)))   e₂ = Norm(e₁ + W₂ dropout(relu(W₁ e₁)))        W₁: d → 2d, W₂: 2d → d
 *
 * o and t as in `GraphAttention`. Norm is batch normalisation over all real nodes (edges) of the batch, layer
 * normalisation, first the one and then the other, or neither. Names of parameters are those of the authors' code.
 *
 * Source: "A Generalization of Transformer Networks to Graphs", 2020.
 */
import { fail, formatShape, type Tensor } from "../tensor/index.js";
import { dropout } from "./dropout.js";
import { GraphAttention, type GraphAttentionOptions } from "./graph-attention.js";
import { type GraphInputs, isDense } from "./graph-inputs.js";
import { Linear } from "./linear.js";
import { Module } from "./module.js";
import { BatchNorm, type BatchNormOptions, LayerNorm, type LayerNormOptions } from "./norm/index.js";
import { withInputs } from "./side-inputs.js";
import { at } from "./where.js";

/** Which norms stand behind each sum: by name, or with options of their own (layer before batch where there are both). */
export type GraphNorm =
  | "batch"
  | "layer"
  | "both"
  | "none"
  | { readonly batch?: Omit<BatchNormOptions, "axis">; readonly layer?: LayerNormOptions };

export interface GraphTransformerLayerOptions extends GraphAttentionOptions {
  /** Default "batch". */
  readonly norm?: GraphNorm;
  /** Default 0. */
  readonly dropout?: number;
  /** Default true. */
  readonly residual?: boolean;
}

/** The two streams: h [.., nodes, d], and e [.., edges, d] where edges have features. */
export interface GraphStream {
  readonly h: Tensor;
  readonly e: Tensor | undefined;
}

export abstract class GraphLayer extends Module<[Tensor, GraphInputs, Tensor?], GraphStream> {
  abstract readonly attention: GraphAttention;
  readonly residual: boolean;
  readonly dropout: number;

  constructor({ residual = true, dropout: p = 0 }: Pick<GraphTransformerLayerOptions, "residual" | "dropout">) {
    super();
    if (!(p >= 0 && p < 1)) fail("argument", `graphTransformerLayer: expected a dropout in [0, 1), got ${p}`);
    this.residual = residual;
    this.dropout = p;
  }

  /** One stream from what attention gives to the layer's output; `mask` is bool over its rows. */
  protected pass(parts: StreamParts, x: Tensor, update: Tensor, mask: Tensor | undefined): Tensor {
    const sum = (a: Tensor, b: Tensor): Tensor => (this.residual ? a.add(b) : b);
    const first = normalized(parts.norm1, sum(x, parts.O.apply(dropout(update, this.dropout))), mask);
    const hidden = dropout(parts.FFN1.apply(first).relu(), this.dropout);
    return normalized(parts.norm2, sum(first, parts.FFN2.apply(hidden)), mask);
  }
}

interface StreamParts {
  readonly O: Linear;
  readonly norm1: readonly (Module | undefined)[];
  readonly FFN1: Linear;
  readonly FFN2: Linear;
  readonly norm2: readonly (Module | undefined)[];
}

/** Norms over rows [.., d]; the mask tells them which rows are real. */
function normalized(norms: readonly (Module | undefined)[], x: Tensor, mask: Tensor | undefined): Tensor {
  const rows = x.reshape([1, x.size / x.dim(-1), x.dim(-1)]);
  const padding = mask?.reshape([1, mask.size]);
  const y = withInputs({ padding }, () => norms.reduce((z, norm) => norm?.apply(z) ?? z, rows));
  return y.reshape(x.shape);
}

/** The layer without edge features. */
export class GraphTransformerLayer extends GraphLayer {
  readonly attention: GraphAttention;
  readonly O: Linear;
  readonly layer_norm1: LayerNorm | undefined;
  readonly batch_norm1: BatchNorm | undefined;
  readonly FFN_layer1: Linear;
  readonly FFN_layer2: Linear;
  readonly layer_norm2: LayerNorm | undefined;
  readonly batch_norm2: BatchNorm | undefined;

  constructor(width: number, options: GraphTransformerLayerOptions) {
    super(options);
    const { layer, batch } = normsOf(width, options.norm);
    this.attention = new GraphAttention(width, { ...options, edgeFeatures: false });
    this.O = new Linear(width, width);
    this.layer_norm1 = layer();
    this.batch_norm1 = batch();
    this.FFN_layer1 = new Linear(width, 2 * width);
    this.FFN_layer2 = new Linear(2 * width, width);
    this.layer_norm2 = layer();
    this.batch_norm2 = batch();
  }

  /** h [.., nodes, d]. Throws where its shape does not fit the graphs. */
  override forward(h: Tensor, graphs: GraphInputs): GraphStream {
    checkNodes(h, graphs, this.attention.width);
    const { nodes } = this.attention.apply(h, graphs);
    const parts = {
      O: this.O,
      norm1: [this.layer_norm1, this.batch_norm1],
      FFN1: this.FFN_layer1,
      FFN2: this.FFN_layer2,
      norm2: [this.layer_norm2, this.batch_norm2],
    };
    return { h: this.pass(parts, h, nodes, graphs.nodeMask), e: undefined };
  }
}

/** The layer with edge features: they modulate attention and are updated. */
export class GraphTransformerEdgeLayer extends GraphLayer {
  readonly attention: GraphAttention;
  readonly O_h: Linear;
  readonly O_e: Linear;
  readonly layer_norm1_h: LayerNorm | undefined;
  readonly layer_norm1_e: LayerNorm | undefined;
  readonly batch_norm1_h: BatchNorm | undefined;
  readonly batch_norm1_e: BatchNorm | undefined;
  readonly FFN_h_layer1: Linear;
  readonly FFN_h_layer2: Linear;
  readonly FFN_e_layer1: Linear;
  readonly FFN_e_layer2: Linear;
  readonly layer_norm2_h: LayerNorm | undefined;
  readonly layer_norm2_e: LayerNorm | undefined;
  readonly batch_norm2_h: BatchNorm | undefined;
  readonly batch_norm2_e: BatchNorm | undefined;

  constructor(width: number, options: GraphTransformerLayerOptions) {
    super(options);
    const { layer, batch } = normsOf(width, options.norm);
    this.attention = new GraphAttention(width, { ...options, edgeFeatures: true });
    this.O_h = new Linear(width, width);
    this.O_e = new Linear(width, width);
    this.layer_norm1_h = layer();
    this.layer_norm1_e = layer();
    this.batch_norm1_h = batch();
    this.batch_norm1_e = batch();
    this.FFN_h_layer1 = new Linear(width, 2 * width);
    this.FFN_h_layer2 = new Linear(2 * width, width);
    this.FFN_e_layer1 = new Linear(width, 2 * width);
    this.FFN_e_layer2 = new Linear(2 * width, width);
    this.layer_norm2_h = layer();
    this.layer_norm2_e = layer();
    this.batch_norm2_h = batch();
    this.batch_norm2_e = batch();
  }

  /** h [.., nodes, d] and e [.., edges, d]. Throws where a shape does not fit the graphs. */
  override forward(h: Tensor, graphs: GraphInputs, e?: Tensor): GraphStream {
    checkNodes(h, graphs, this.attention.width);
    if (!e) return fail("argument", `${at("GraphTransformerEdgeLayer")}: expected features of edges, got none`);
    checkEdges(e, graphs, this.attention.width);
    const { nodes, edges } = this.attention.apply(h, graphs, e);
    const ofNodes = {
      O: this.O_h,
      norm1: [this.layer_norm1_h, this.batch_norm1_h],
      FFN1: this.FFN_h_layer1,
      FFN2: this.FFN_h_layer2,
      norm2: [this.layer_norm2_h, this.batch_norm2_h],
    };
    const ofEdges = {
      O: this.O_e,
      norm1: [this.layer_norm1_e, this.batch_norm1_e],
      FFN1: this.FFN_e_layer1,
      FFN2: this.FFN_e_layer2,
      norm2: [this.layer_norm2_e, this.batch_norm2_e],
    };
    const edgeMask = isDense(graphs) ? graphs.adjacency.greater(0) : graphs.edgeMask;
    return {
      h: this.pass(ofNodes, h, nodes, graphs.nodeMask),
      e: this.pass(ofEdges, e, edges as Tensor, edgeMask),
    };
  }
}

/** The layer for `dim` wide streams, with edge features where `edgeFeatures` says so. */
export function graphTransformerLayer({
  dim,
  ...options
}: GraphTransformerLayerOptions & { readonly dim: number }): GraphLayer {
  return options.edgeFeatures ? new GraphTransformerEdgeLayer(dim, options) : new GraphTransformerLayer(dim, options);
}

/** The norms of one layer, each made anew. */
function normsOf(width: number, norm: GraphNorm = "batch") {
  const given = typeof norm === "string" ? named(norm) : norm;
  return {
    layer: () => (given.layer ? new LayerNorm(width, given.layer) : undefined),
    batch: () => (given.batch ? new BatchNorm(width, { ...given.batch, axis: -1 }) : undefined),
  };
}

function named(norm: "batch" | "layer" | "both" | "none"): Exclude<GraphNorm, string> {
  const values = { batch: { batch: {} }, layer: { layer: {} }, both: { batch: {}, layer: {} }, none: {} };
  if (!Object.hasOwn(values, norm))
    return fail("argument", `graphTransformerLayer: norm is "${norm}"; expected batch, layer, both or none`);
  return values[norm];
}

function checkNodes(h: Tensor, graphs: GraphInputs, width: number): void {
  if (!isDense(graphs) && graphs.src.size !== graphs.dst.size)
    fail("shape", `graphs: ${graphs.src.size} sources and ${graphs.dst.size} destinations; expected as many of each`);
  const rows = isDense(graphs) ? graphs.adjacency.shape.slice(0, 2) : graphs.graph.shape;
  check("nodes", h, [...rows, width]);
}

function checkEdges(e: Tensor, graphs: GraphInputs, width: number): void {
  check("edges", e, [...(isDense(graphs) ? graphs.adjacency : graphs.src).shape, width]);
}

function check(what: string, x: Tensor, expected: readonly number[]): void {
  if (formatShape(x.shape) !== formatShape(expected))
    fail(
      "shape",
      `${at("graphTransformerLayer")}: expected ${what} ${formatShape(expected)}, got ${formatShape(x.shape)}`,
    );
}

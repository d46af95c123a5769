/**
 * Attention along the edges of a graph, in H heads of width p = d / H. For an edge j → i, with features e or without:
 *
 *   q = W_Q h_i,   k = W_K h_j,   v = W_V h_j
 *   without:  s = clip(Σ q k / √p)                         with:  t = q k / √p ⊙ W_E e,   s = clip(Σ t)
 *   o_i = Σ_j exp(s) v / (Σ_j exp(s) + ε)
 *
 * clip is to [−5, 5] and part of the model: no gradient passes beyond it, and no maximum is subtracted. A node without
 * an edge into it has o = 0. ε is 0 without edge features and 1e-6 with them, as in the authors' code. t is what the edge
 * stream goes on with, before clip and exp. Edges that are there twice count twice.
 *
 * Source: "A Generalization of Transformer Networks to Graphs", 2020.
 */
import { einsum, fail, type Tensor, where, zeros } from "../tensor/index.js";
import { type DenseGraphs, type GraphInputs, isDense, type SparseGraphs } from "./graph-inputs.js";
import { Linear } from "./linear.js";
import { Module } from "./module.js";

export interface GraphAttentionOptions {
  readonly heads: number;
  /** Edges have features, as wide as nodes (default false). */
  readonly edgeFeatures?: boolean;
  /** On the projections (default false). */
  readonly bias?: boolean;
  /** Where scores are clipped (default 5). */
  readonly clamp?: number;
  /** ε (default 0, with edge features 1e-6). */
  readonly eps?: number;
}

export interface GraphAttentionOutput {
  /** [.., nodes, d] */
  readonly nodes: Tensor;
  /** t, [.., edges, d], where edges have features. */
  readonly edges: Tensor | undefined;
}

export class GraphAttention extends Module<[Tensor, GraphInputs, Tensor?], GraphAttentionOutput> {
  readonly Q: Linear;
  readonly K: Linear;
  readonly V: Linear;
  readonly proj_e: Linear | undefined;
  readonly heads: number;
  readonly clamp: number;
  readonly eps: number;

  /** Throws where the heads do not divide the width, and for a clamp or ε that is negative. */
  constructor(
    readonly width: number,
    { heads, edgeFeatures = false, bias = false, clamp = 5, eps = edgeFeatures ? 1e-6 : 0 }: GraphAttentionOptions,
  ) {
    super();
    if (!Number.isInteger(heads) || heads < 1 || width % heads !== 0)
      fail("argument", `GraphAttention: expected heads that divide the width ${width}, got ${heads}`);
    if (!(clamp > 0)) fail("argument", `GraphAttention: expected a positive clamp, got ${clamp}`);
    if (!(eps >= 0)) fail("argument", `GraphAttention: expected an eps of 0 or more, got ${eps}`);
    this.Q = new Linear(width, width, { bias });
    this.K = new Linear(width, width, { bias });
    this.V = new Linear(width, width, { bias });
    this.proj_e = edgeFeatures ? new Linear(width, width, { bias }) : undefined;
    this.heads = heads;
    this.clamp = clamp;
    this.eps = eps;
  }

  /** h [.., nodes, d], and e [.., edges, d] where edges have features. */
  override forward(h: Tensor, graphs: GraphInputs, e?: Tensor): GraphAttentionOutput {
    const pairs = pairsOf(graphs);
    const products = this.products(h, pairs, e); // [.., edges, H, p]
    const score = products ? products.sum(-1) : this.plainScores(h, pairs); // [.., edges, H]
    const weight = pairs.counted(score.clamp({ min: -this.clamp, max: this.clamp }).exp());
    const { sum, total } = pairs.gathered(weight, this.split(this.V.apply(h)));
    return { nodes: this.normalized(sum, total).reshape(h.shape), edges: products && merged(products) };
  }

  /** Scores before the clip [.., edges, H]. */
  scores(h: Tensor, graphs: GraphInputs, e?: Tensor): Tensor {
    const pairs = pairsOf(graphs);
    return this.products(h, pairs, e)?.sum(-1) ?? this.plainScores(h, pairs);
  }

  private plainScores(h: Tensor, pairs: Pairs): Tensor {
    return pairs.scores(this.split(this.Q.apply(h)), this.split(this.K.apply(h))).mul(this.scale);
  }

  /** t, where edges have features. */
  private products(h: Tensor, pairs: Pairs, e: Tensor | undefined): Tensor | undefined {
    if (!this.proj_e) return undefined;
    if (!e) return fail("argument", "GraphAttention: this layer has edge features; give them");
    const products = pairs.products(this.split(this.Q.apply(h)), this.split(this.K.apply(h)));
    return products.mul(this.scale).mul(this.split(this.proj_e.apply(e)));
  }

  /** sum / (total + ε); at ε = 0 a node without an edge is selected, since any ε would move the others. */
  private normalized(sum: Tensor, total: Tensor): Tensor {
    const z = this.eps > 0 ? total.add(this.eps) : where(total.greater(0), total, 1);
    return sum.div(z.unsqueeze(-1));
  }

  private get scale(): number {
    return 1 / Math.sqrt(this.width / this.heads);
  }

  /** [.., d] to [.., H, p]. */
  private split(x: Tensor): Tensor {
    return x.reshape([...x.shape.slice(0, -1), this.heads, this.width / this.heads]);
  }
}

const merged = (x: Tensor): Tensor => x.flatten(-2);

/** What attention needs of edges, whatever the layout; q, k, v are [.., nodes, H, p]. */
interface Pairs {
  /** q of the destination times k of the source, feature by feature: [.., edges, H, p]. */
  products(q: Tensor, k: Tensor): Tensor;
  /** The same summed over p: [.., edges, H]. */
  scores(q: Tensor, k: Tensor): Tensor;
  /** Weights [.., edges, H] times how often the edge is there. */
  counted(weight: Tensor): Tensor;
  /** Over the edges into each node: Σ w v [.., nodes, H, p] and Σ w [.., nodes, H]. */
  gathered(weight: Tensor, v: Tensor): { readonly sum: Tensor; readonly total: Tensor };
}

const pairsOf = (graphs: GraphInputs): Pairs => (isDense(graphs) ? densePairs(graphs) : sparsePairs(graphs));

/** Nodes [n], edges [m]: picked by index, and added at their destination. */
function sparsePairs({ src, dst, edgeMask }: SparseGraphs): Pairs {
  const products = (q: Tensor, k: Tensor): Tensor => q.gather(dst).mul(k.gather(src));
  return {
    products,
    scores: (q, k) => products(q, k).sum(-1),
    counted: (weight) => (edgeMask ? where(edgeMask.unsqueeze(-1), weight, 0) : weight),
    gathered: (weight, v) => ({
      sum: zeros(v.shape, v.dtype).indexAdd(dst, v.gather(src).mul(weight.unsqueeze(-1))),
      total: zeros(v.shape.slice(0, -1), v.dtype).indexAdd(dst, weight),
    }),
  };
}

/** Nodes [B, N], edges [B, N, N] by destination and source: matrix products. */
function densePairs({ adjacency }: DenseGraphs): Pairs {
  return {
    products: (q, k) => q.unsqueeze(2).mul(k.unsqueeze(1)),
    scores: (q, k) => einsum("bihp,bjhp->bijh", q, k),
    counted: (weight) => weight.mul(adjacency.unsqueeze(-1)),
    gathered: (weight, v) => ({ sum: einsum("bijh,bjhp->bihp", weight, v), total: weight.sum(2) }),
  };
}

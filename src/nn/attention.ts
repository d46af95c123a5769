/**
 * Scaled dot-product attention with H heads of width W, and K ≤ H key/value heads that are shared by H/K query heads.
 *
 *   q = x Wq, k = x Wk, v = x Wv;   a = softmax(q kᵀ / √W + bias) v;   y = a Wo
 *
 * K = H is multi-head, 1 < K < H grouped-query, K = 1 multi-query attention. A row of scores that sees no key gives 0.
 * Sources: "Attention Is All You Need", 2017; "GQA: Training Generalized Multi-Query Transformer Models from
 * Multi-Head Checkpoints", 2023.
 */
import { arange, fail, formatShape, type Tensor, where } from "../tensor/index.js";
import { dropout } from "./dropout.js";
import { Linear } from "./linear.js";
import { bidirectional, type Mask } from "./mask.js";
import { Module } from "./module.js";
import type { NormFactory } from "./norm/index.js";
import type { Positions } from "./positions/index.js";
import { at } from "./where.js";

export interface AttentionOptions {
  readonly heads: number;
  /** Key/value heads (default: as many as heads). */
  readonly kvHeads?: number;
  /** Width of a head (default width / heads). */
  readonly headWidth?: number;
  /** Biases on the four projections (default false). */
  readonly bias?: boolean;
  /** Who sees whom (default everybody: `bidirectional()`). */
  readonly mask?: Mask;
  readonly positions?: Positions;
  /** Normalise every head of the queries and keys before they turn, as in Qwen 3. */
  readonly qkNorm?: NormFactory;
  /** Dropout on the attention weights (default 0). */
  readonly dropout?: number;
}

export interface AttentionInputs {
  /** [batch, keys] bool, false where a key is padding: nobody sees it. */
  readonly padding?: Tensor;
  /** [batch, tokens] int32: which sample of a packed row a token belongs to; it sees only its own. */
  readonly segments?: Tensor;
  /** [batch, tokens] int32 from 0 to tokens − 1: where a token stands (default: its place in the row). */
  readonly positions?: Tensor;
}

export class Attention extends Module<[Tensor, AttentionInputs?]> {
  readonly q_proj: Linear;
  readonly k_proj: Linear;
  readonly v_proj: Linear;
  readonly o_proj: Linear;
  readonly q_norm: Module | undefined;
  readonly k_norm: Module | undefined;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headWidth: number;
  readonly mask: Mask;
  readonly positions: Positions;
  readonly dropout: number;

  /** Throws where heads do not divide the width (without a headWidth), or kvHeads does not divide heads. */
  constructor(width: number, options: AttentionOptions) {
    super();
    const { heads, kvHeads = heads, bias = false, qkNorm } = options;
    this.heads = heads;
    this.kvHeads = kvHeads;
    this.headWidth = checkedHeadWidth(width, options);
    this.mask = options.mask ?? bidirectional();
    this.positions = options.positions ?? { name: "none" };
    this.dropout = options.dropout ?? 0;
    const [queries, keys] = [heads * this.headWidth, kvHeads * this.headWidth];
    this.q_proj = new Linear(width, queries, { bias });
    this.k_proj = new Linear(width, keys, { bias });
    this.v_proj = new Linear(width, keys, { bias });
    this.o_proj = new Linear(queries, width, { bias });
    this.q_norm = qkNorm?.(this.headWidth);
    this.k_norm = qkNorm?.(this.headWidth);
  }

  override forward(x: Tensor, inputs: AttentionInputs = {}): Tensor {
    if (x.rank !== 3) fail("shape", `${at("attention")}: expected [batch, tokens, width], got ${formatShape(x.shape)}`);
    const [B, T] = [x.dim(0), x.dim(1)];
    checkInputs(inputs, B, T);
    const { heads, kvHeads, headWidth: W, positions } = this;
    const perHead = (y: Tensor, n: number): Tensor => y.reshape([B, T, n, W]).transpose([0, 2, 1, 3]); // [B, n, T, W]
    let q = perHead(this.q_proj.apply(x), heads);
    let k = perHead(this.k_proj.apply(x), kvHeads);
    const v = perHead(this.v_proj.apply(x), kvHeads);
    if (this.q_norm && this.k_norm) [q, k] = [this.q_norm.apply(q), this.k_norm.apply(k)];
    if (positions.rotate) [q, k] = [positions.rotate(q, inputs.positions), positions.rotate(k, inputs.positions)];
    // Query head h reads key head ⌊h / group⌋: a group's queries stand below each other, so no key is copied.
    const rows = (heads / kvHeads) * T;
    const scores = q
      .mul(1 / Math.sqrt(W))
      .reshape([B, kvHeads, rows, W])
      .matmul(k.transpose([0, 1, 3, 2]));
    const weights = this.weights(scores.reshape([B, heads, T, T]), inputs);
    const mixed = weights.reshape([B, kvHeads, rows, T]).matmul(v); // [B, kvHeads, rows, W]
    return this.o_proj.apply(
      mixed
        .reshape([B, heads, T, W])
        .transpose([0, 2, 1, 3])
        .reshape([B, T, heads * W]),
    );
  }

  /** softmax over the visible keys. Hidden ones get a huge negative bias: cheaper than a selection, in both passes. */
  private weights(scores: Tensor, { padding, segments, positions: places }: AttentionInputs): Tensor {
    const { mask, positions, heads } = this;
    const query = asQueries(places ?? arange(scores.dim(-2)));
    const key = asKeys(places ?? arange(scores.dim(-1)));
    // A segment hides no token from itself, so it leaves no row empty.
    const same = segments && asQueries(segments).equal(asKeys(segments));
    const visible = both(both(mask.visible(query, key), same), padding && asKeys(padding));
    const hidden = scores.dtype === "float16" ? -6e4 : -1e30;
    let bias = positions.bias?.(heads, query, key).cast(scores.dtype);
    if (visible) bias = bias ? where(visible, bias, hidden) : where(visible, 0, hidden).cast(scores.dtype);
    let weights = (bias ? scores.add(bias) : scores).softmax(-1);
    if (visible && (padding || !mask.everyRowSees)) weights = where(visible, weights, 0);
    return dropout(weights, this.dropout);
  }
}

const both = (a: Tensor | undefined, b: Tensor | undefined): Tensor | undefined => (a && b ? a.and(b) : (a ?? b));

/** [tokens] to [tokens, 1] and [batch, tokens] to [batch, 1, tokens, 1]: along the rows of the scores, and … */
const asQueries = (x: Tensor): Tensor => (x.rank === 1 ? x : x.unsqueeze(1)).unsqueeze(-1);
/** … along their columns. */
const asKeys = (x: Tensor): Tensor => (x.rank === 1 ? x : x.unsqueeze(1)).unsqueeze(-2);

function checkInputs({ padding, segments, positions }: AttentionInputs, B: number, T: number): void {
  const check = (name: string, x: Tensor | undefined, dtype: string, axis: string): void => {
    if (x && (x.dtype !== dtype || x.rank !== 2 || x.dim(0) !== B || x.dim(1) !== T))
      fail(
        "shape",
        `${at("attention")}: expected ${name} to be ${dtype}[${B}, ${T}] (batch, ${axis}), got ${x.dtype}${formatShape(x.shape)}`,
      );
  };
  check("padding", padding, "bool", "keys");
  check("segments", segments, "int32", "tokens");
  check("positions", positions, "int32", "tokens");
}

function checkedHeadWidth(
  width: number,
  { heads, kvHeads = heads, headWidth = width / heads }: AttentionOptions,
): number {
  for (const [name, n] of Object.entries({ heads, kvHeads }))
    if (!Number.isInteger(n) || n < 1)
      fail("argument", `attention: expected ${name} to be a positive whole number, got ${n}`);
  if (heads % kvHeads !== 0)
    fail(
      "argument",
      `attention: ${kvHeads} key/value heads do not divide ${heads} heads; every one must serve as many queries`,
    );
  if (!Number.isInteger(headWidth) || headWidth < 1)
    fail(
      "argument",
      `attention: ${heads} heads do not divide the width ${width}; choose another number of heads or give headWidth`,
    );
  return headWidth;
}

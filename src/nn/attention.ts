/**
 * Scaled dot-product attention with H heads of width W, and K ≤ H key/value heads that are shared by H/K query heads.
 *
 *   q = x Wq, k = x Wk, v = x Wv;   a = softmax(cap(scale · q kᵀ) + bias) v;   y = a Wo
 *
 * scale = 1/√W unless given; cap(s) = c tanh(s/c) where a cap c is given (Gemma 2), else s.
 *
 * K = H is multi-head, 1 < K < H grouped-query, K = 1 multi-query attention. A row of scores that sees no key gives 0.
 * Sources: "Attention Is All You Need", 2017; "GQA: Training Generalized Multi-Query Transformer Models from
 * Multi-Head Checkpoints", 2023.
 */
import { arange, concat, fail, formatShape, NDArray, type Tensor, tensor, where } from "../tensor/index.js";
import { alongScores, both, cut, type Places, partOf, parts, softmaxProduct, whole } from "./attention-parts.js";
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
  /** Biases on the four projections (default false), or only on those for queries, keys and values (Qwen 2). */
  readonly bias?: boolean | "qkv";
  /** Factor on the scores (default 1/√headWidth). */
  readonly scale?: number;
  /** Largest size of a score, approached smoothly (Gemma 2: 50; default: none). */
  readonly softcap?: number;
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
  /** Which sample of a packed row a token belongs to, int32 [batch, tokens]: it sees only its own. Not with a cache. */
  readonly segments?: Tensor;
  /** Where the tokens stand: int32 [batch, tokens], below tokens without a cache (default 0, 1, …). */
  readonly positions?: Tensor;
  /** Keys and values of tokens before these. */
  readonly cache?: KeyValueCache;
}

/** A position that no query reaches: no causal mask shows a key that stands there. */
export const unreachable = 2 ** 30;

/** What a layer of attention sees: its own keys and values among those of before. */
export interface Seen {
  /** [batch, key/value heads, keys, head width]. */
  readonly keys: Tensor;
  readonly values: Tensor;
  /** Where the keys stand: int32 [batch | 1, keys]; `unreachable` where there is none. */
  readonly positions: Tensor;
}

/** Keys and values kept between runs of a program, for every layer of attention. */
export interface KeyValueCache {
  /** Places after the last one that can be used. */
  readonly length: number;
  /** Add the keys and values of the tokens at `positions`, and give all that can be seen. */
  update(layer: Attention, keys: Tensor, values: Tensor, positions: Tensor): Seen;
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
  readonly scale: number;
  readonly softcap: number | undefined;

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
    this.scale = options.scale ?? 1 / Math.sqrt(this.headWidth);
    this.softcap = options.softcap;
    this.q_proj = new Linear(width, queries, { bias: bias !== false });
    this.k_proj = new Linear(width, keys, { bias: bias !== false });
    this.v_proj = new Linear(width, keys, { bias: bias !== false });
    this.o_proj = new Linear(queries, width, { bias: bias === true });
    this.q_norm = qkNorm?.(this.headWidth);
    this.k_norm = qkNorm?.(this.headWidth);
  }

  override forward(x: Tensor, inputs: AttentionInputs = {}): Tensor {
    const { padding, segments, positions: places, cache } = inputs;
    if (x.rank !== 3) fail("shape", `${at("attention")}: expected [batch, tokens, width], got ${formatShape(x.shape)}`);
    const [B, T] = [x.dim(0), x.dim(1)];
    checkInputs(inputs, B, T);
    const { heads, kvHeads, headWidth: W, positions } = this;
    const perHead = (y: Tensor, n: number): Tensor => y.reshape([B, T, n, W]).transpose([0, 2, 1, 3]); // [B, n, T, W]
    let q = perHead(this.q_proj.apply(x), heads);
    let k = perHead(this.k_proj.apply(x), kvHeads);
    let v = perHead(this.v_proj.apply(x), kvHeads);
    if (this.q_norm && this.k_norm) [q, k] = [this.q_norm.apply(q), this.k_norm.apply(k)];
    const place = places && { positions: places, length: cache?.length ?? T };
    if (positions.rotate) [q, k] = [positions.rotate(q, place), positions.rotate(k, place)];
    let [query, key] = [places ?? arange(T), places ?? arange(T)];
    if (cache) ({ keys: k, values: v, positions: key } = cache.update(this, k, v, query));
    const seen = { query, key, padding, segments: segments && { query: segments, key: segments } };
    const isPlain = !places && !cache;
    const pieces = isPlain ? parts(this.mask, T) : [whole(T, k.dim(-2))];
    const queries = q.split(
      pieces.map(({ rows: [first, end] }) => end - first),
      2,
    );
    const mixed = pieces.map((part, i) => {
      const [keys, values] = [cut(k, part.keys), cut(v, part.keys)];
      return this.attend(queries[i] as Tensor, keys, values, partOf(seen, part), cache !== undefined);
    });
    return this.o_proj.apply(
      concat(mixed, 2)
        .transpose([0, 2, 1, 3])
        .reshape([B, T, heads * W]),
    );
  }

  /** Queries [B, heads, T, W] over keys and values [B, key heads, N, W]: [B, heads, T, W]. */
  private attend(q: Tensor, k: Tensor, v: Tensor, places: Places, isCached: boolean): Tensor {
    const { heads, kvHeads, headWidth: W, mask } = this;
    const [B, T, N] = [q.dim(0), q.dim(2), k.dim(2)];
    // Query head h reads key head ⌊h / group⌋: a group's queries stand below each other, so no key is copied.
    const rows = (heads / kvHeads) * T;
    const scores = this.scaled(q, isCached)
      .reshape([B, kvHeads, rows, W])
      .matmul(k.transpose([0, 1, 3, 2]))
      .reshape([B, heads, T, N]);
    const visible = this.visible(places);
    const shown = this.shown(scores, visible, places).reshape([B, kvHeads, rows, N]);
    const mayBeEmpty = visible && (places.padding || !mask.everyRowSees);
    if (!mayBeEmpty && this.dropout === 0) return softmaxProduct(shown, v).reshape([B, heads, T, W]);
    const weights = shown.softmax(-1).reshape([B, heads, T, N]);
    return dropout(mayBeEmpty ? where(visible, weights, 0) : weights, this.dropout)
      .reshape([B, kvHeads, rows, N])
      .matmul(v)
      .reshape([B, heads, T, W]);
  }

  /**
   * q · scale. Engines make a single factor part of the product; the product of one query then packs all keys first, which
   * takes longer than itself. A vector of equal factors is left alone.
   */
  private scaled(q: Tensor, isCached: boolean): Tensor {
    if (!isCached) return q.mul(this.scale);
    return q.mul(tensor(NDArray.from(new Array<number>(this.headWidth).fill(this.scale)), { dtype: q.dtype }));
  }

  /** Bool, broadcasting to [batch, heads, tokens, keys]; nothing where everybody sees all. */
  private visible({ query, key, padding, segments }: Places): Tensor | undefined {
    // A segment hides no token from itself, so it leaves no row empty.
    const own = segments && alongScores(segments.query, -1).equal(alongScores(segments.key, -2));
    const visible = this.mask.visible(alongScores(query, -1), alongScores(key, -2));
    return both(both(visible, own), padding && alongScores(padding, -2));
  }

  /** What the softmax is taken of. Hidden keys get a huge negative bias: cheaper than a selection, in both passes. */
  private shown(scores: Tensor, visible: Tensor | undefined, { query, key }: Places): Tensor {
    const { positions, heads, softcap } = this;
    const capped = softcap === undefined ? scores : scores.div(softcap).tanh().mul(softcap);
    const hidden = scores.dtype === "float16" ? -6e4 : -1e30;
    let bias = positions.bias?.(heads, alongScores(query, -1), alongScores(key, -2)).cast(scores.dtype);
    if (visible) bias = bias ? where(visible, bias, hidden) : where(visible, 0, hidden).cast(scores.dtype);
    return bias ? capped.add(bias) : capped;
  }
}

function checkInputs({ padding, segments, positions, cache }: AttentionInputs, B: number, T: number): void {
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
  if (cache && (padding || segments))
    fail("argument", `${at("attention")}: with a cache there is neither padding nor segments; positions say it all`);
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

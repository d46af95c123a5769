/**
 * SLAB's two parts. PRepBN: LayerNorm at the start of training, step by step a re-parametrised BatchNorm instead; in
 * inference a scale and a shift per channel, which folds away (`foldNorms`).
 *
 *   RepBN(x) = BN(x) + α x,                     α one learned number
 *   training:   y = LN(x) for the first `warm` steps, then y = λ LN(x) + (1 − λ) RepBN(x),
 *               λ = r₀ · (steps left) / step, a constant to derivatives: r₀ at the first mixed step, 0 after `step` of them
 *   inference:  y = RepBN(x) with running statistics; LN is never used, not even in the middle of the transition
 *
 * Simplified linear attention, over tokens that are an image row by row, per head of width W:
 *
 *   q = relu(x Wq),  k = relu(x Wk + p),  o_i = q_i (Σ_j k_jᵀ v_j) / (q_i · Σ_j k_j + 1e-6) + dwc(v)_i
 *
 * with a learned encoding p of the places and a depth-wise convolution dwc, the same for all heads: linear in the tokens.
 *
 * Padded positions count nowhere in the statistics and pass RepBN's norm as they are, in training. In a causal model a
 * training step's statistics see later positions. Source: "SLAB: Efficient Transformers with Simplified Linear Attention
 * and Progressive Re-parameterized Batch Normalization", 2024.
 */
import {
  fail,
  formatShape,
  isTraining,
  NDArray,
  structureChanged,
  type Tensor,
  Variable,
  where,
} from "../tensor/index.js";
import type { AttentionInputs } from "./attention.js";
import { Conv2d } from "./convolution.js";
import { dropout as drop } from "./dropout.js";
import { filled } from "./initial.js";
import { Linear } from "./linear.js";
import { Module, type TrainingPlan } from "./module.js";
import type { Affine } from "./norm/affine.js";
import { BatchNorm } from "./norm/batch-norm.js";
import { type ChannelAxis, checkWidth, realPositions } from "./norm/channels.js";
import { LayerNorm } from "./norm/layer-norm.js";
import { Norm } from "./norm/norm.js";
import { RMSNorm } from "./norm/rms-norm.js";
import { sideInput } from "./side-inputs.js";
import { warn } from "./warn.js";
import { at } from "./where.js";

export interface PRepBNOptions {
  /** Mixed steps until LN is gone (default: half of the planned training, the authors' 300000 where nobody plans). */
  readonly step?: number;
  /** Steps with LN alone before (default 0). */
  readonly warm?: number;
  /** r₀, λ of the first mixed step (default 1). */
  readonly r0?: number;
  /** What the training starts with (default "layer"; "rms" in the authors' language model). */
  readonly base?: "layer" | "rms";
  readonly lnEps?: number;
  readonly bnEps?: number;
  /** Weight of the new batch in BN's running statistics (default 0.1). */
  readonly bnMomentum?: number;
  /** First value of α (default 1, and 0 with BN's gain and bias in the authors' language model: "rms"). */
  readonly alphaInit?: number;
  /** Forward passes that make one optimiser step: only the first of them moves the schedule (default: the training's, or 1). */
  readonly accumulation?: number;
  /** Where the channels are (default −1). */
  readonly axis?: ChannelAxis;
}

const authorsStep = 300_000;

export class PRepBN extends Norm {
  readonly ln: LayerNorm | RMSNorm;
  readonly bn: GatedBatchNorm;
  readonly alpha: Variable; // [1]
  /** Mixed steps left, LN's steps left, forward passes since the schedule last moved: int32 [1]. */
  readonly iter: Variable;
  readonly warm: Variable;
  readonly micro: Variable;
  readonly r0: number;
  /** Mixed steps in all. */
  total: number;
  accumulation: number;
  override readonly axis: ChannelAxis;
  readonly #planned: { readonly step: boolean; readonly accumulation: boolean };

  constructor(
    override readonly width: number,
    options: PRepBNOptions = {},
  ) {
    super();
    const {
      step = authorsStep,
      warm = 0,
      r0 = 1,
      base = "layer",
      bnMomentum = 0.1,
      accumulation = 1,
      axis = -1,
    } = options;
    const rms = base === "rms";
    const { lnEps = rms ? 1e-6 : 1e-5, bnEps = rms ? 1e-6 : 1e-5, alphaInit = rms ? 0 : 1 } = options;
    checkWidth("PRepBN", width);
    for (const [name, value, least] of [
      ["step", step, 1],
      ["warm", warm, 0],
      ["accumulation", accumulation, 1],
    ] as const)
      if (!Number.isInteger(value) || value < least)
        fail("argument", `PRepBN: expected ${name} to be a whole number of at least ${least}, got ${value}`);
    if (!(r0 > 0 && r0 <= 1)) fail("argument", `PRepBN: expected r0 above 0 and up to 1, got ${r0}`);
    this.ln = rms ? new RMSNorm(width, { eps: lnEps, axis }) : new LayerNorm(width, { eps: lnEps, axis });
    this.bn = new GatedBatchNorm(width, { eps: bnEps, momentum: bnMomentum, axis });
    if (rms) this.bn.weight?.set(NDArray.zeros([width]));
    this.alpha = new Variable(filled([1], alphaInit));
    const count = (n: number) => new Variable(NDArray.from([n], "int32"), { trainable: false });
    [this.iter, this.warm, this.micro] = [count(step), count(warm), count(0)];
    [this.r0, this.total, this.accumulation, this.axis] = [r0, step, accumulation, axis];
    this.#planned = { step: options.step === undefined, accumulation: options.accumulation === undefined };
  }

  /** Told by a training before its first step: what was not given follows from it. */
  plan({ steps, accumulation }: TrainingPlan): void {
    if (this.#planned.accumulation) this.accumulation = accumulation;
    if (this.#planned.step) {
      this.total = Math.max(1, Math.floor(steps / 2));
      this.iter.set(NDArray.from([this.total], "int32"));
    }
    structureChanged();
  }

  override forward(x: Tensor): Tensor {
    const real = this.real(x);
    if (!isTraining()) return this.repBN(x, undefined);
    const isWarm = this.warm.latest.greater(0);
    const lambda = where(isWarm, 1, this.iter.latest.cast("float32").mul(this.r0 / this.total));
    this.advance(isWarm);
    this.bn.moves = isWarm.not();
    const ln = this.ln.apply(x);
    const mixed = ln.mul(lambda).add(this.repBN(x, real).mul(lambda.neg().add(1)));
    return where(isWarm, ln, mixed);
  }

  /** BN(x) + α x; rows that are not real pass as they are, plus α x. */
  private repBN(x: Tensor, real: Tensor | undefined): Tensor {
    const normed = this.bn.apply(x);
    return (real ? where(real, normed, x) : normed).add(x.mul(this.alpha));
  }

  private real(x: Tensor): Tensor | undefined {
    const padding = sideInput("padding");
    return padding && x.rank === 3 ? realPositions(x, padding, this.axis).greater(0) : undefined;
  }

  private advance(isWarm: Tensor): void {
    const moves = this.micro.latest.equal(0);
    const less = (counter: Variable, when: Tensor) =>
      counter.advance((n) => n.sub(when.and(moves).and(n.greater(0)).cast("int32")));
    less(this.warm, isWarm);
    less(this.iter, isWarm.not());
    this.micro.advance((n) => n.add(1).mod(this.accumulation));
  }

  /** λ of the next training step: 0 when the transition is over. */
  async progress(): Promise<number> {
    const [warm, iter] = await Promise.all([this.warm, this.iter].map(async (n) => (await n.data()).item()));
    return (warm as number) > 0 ? 1 : (this.r0 * (iter as number)) / this.total;
  }

  /** The BatchNorm that is the same in inference: γ′ = γ + α σ, β′ = β + α μ̄. */
  async mergeToBatchNorm(): Promise<BatchNorm> {
    const { eps, momentum, running_mean, running_var } = this.bn;
    const { scale, shift } = await this.channelAffine();
    const [mean, variance] = [(await running_mean.data()).toNumbers(), (await running_var.data()).toNumbers()];
    const merged = new BatchNorm(this.width, { eps, momentum, axis: this.axis });
    merged.running_mean.set(NDArray.from(mean, "float32"));
    merged.running_var.set(NDArray.from(variance, "float32"));
    merged.weight?.set(
      NDArray.from(
        scale.map((a, c) => a * Math.sqrt((variance[c] as number) + eps)),
        "float32",
      ),
    );
    merged.bias?.set(
      NDArray.from(
        shift.map((b, c) => b + (scale[c] as number) * (mean[c] as number)),
        "float32",
      ),
    );
    return merged;
  }

  /** y = (γ/σ + α) x + (β − γ μ̄/σ). Warns while the transition is not over: what LN still does is dropped. */
  async channelAffine(): Promise<Affine> {
    const lambda = await this.progress();
    if (lambda > 0)
      warn(
        `PRepBN: LayerNorm still has a share of ${lambda.toFixed(3)} in training and none in inference; fold after the schedule`,
      );
    const { scale, shift } = (await this.bn.channelAffine()) as Affine;
    const alpha = (await this.alpha.data()).item();
    return { scale: scale.map((a) => a + alpha), shift };
  }
}

/** A BatchNorm whose running statistics stand still where `moves`, bool [1], is false. */
class GatedBatchNorm extends BatchNorm {
  moves: Tensor | undefined;

  protected override toward(running: Variable, now: Tensor): void {
    const [{ moves }, m] = [this, this.momentum];
    if (!moves) super.toward(running, now);
    else running.advance((old) => where(moves, old.mul(1 - m).add(now.mul(m)), old));
  }
}

export const prepbn = (channels: number, options?: PRepBNOptions): PRepBN => new PRepBN(channels, options);

export interface SimplifiedLinearAttentionOptions {
  readonly dim: number;
  readonly heads: number;
  /** Of the image that the tokens are, row by row. */
  readonly height: number;
  readonly width: number;
  /** Of the depth-wise convolution, odd (default 5). */
  readonly kernel?: number;
  /** Dropout on the output (default 0). */
  readonly dropout?: number;
}

/** x [batch, height · width, dim] → the same shape. Throws for other shapes, and for what a grid of pixels cannot have. */
export class SimplifiedLinearAttention extends Module<[Tensor, AttentionInputs?]> {
  readonly qkv: Linear;
  readonly positional_encoding: Variable; // [1, N, dim]
  readonly dwc: Conv2d;
  readonly proj: Linear;
  /** Who reads the input: see `foldNorms`. */
  readonly inputLinears = ["qkv"] as const;

  constructor(readonly options: SimplifiedLinearAttentionOptions) {
    super();
    const { dim, heads, height, width, kernel = 5 } = options;
    if (!Number.isInteger(dim / heads) || heads < 1)
      fail("argument", `SimplifiedLinearAttention: expected heads to divide dim ${dim}, got ${heads}`);
    if (kernel % 2 !== 1) fail("argument", `SimplifiedLinearAttention: expected an odd kernel, got ${kernel}`);
    const headWidth = dim / heads;
    this.qkv = new Linear(dim, 3 * dim);
    this.positional_encoding = new Variable(NDArray.zeros([1, height * width, dim]));
    this.dwc = new Conv2d(headWidth, headWidth, kernel, { padding: (kernel - 1) / 2, groups: headWidth });
    this.proj = new Linear(dim, dim);
  }

  override forward(x: Tensor, inputs: AttentionInputs = {}): Tensor {
    const { dim, heads, height, width, dropout = 0 } = this.options;
    const N = height * width;
    if (x.rank !== 3 || x.dim(1) !== N || x.dim(2) !== dim)
      fail(
        "shape",
        `${at("SimplifiedLinearAttention")}: expected [batch, ${height} × ${width} = ${N}, ${dim}], got ${formatShape(x.shape)}`,
      );
    for (const name of ["cache", "segments", "padding"] as const)
      if (inputs[name])
        fail(
          "argument",
          `${at("SimplifiedLinearAttention")}: tokens are pixels and see all others, so there is no ${name}; use Attention in causal models`,
        );
    const B = x.dim(0);
    const [q, k, v] = this.qkv
      .apply(x)
      .reshape([B, N, 3, dim])
      .transpose([2, 0, 1, 3])
      .split(1)
      .map((part) => part.reshape([B, N, dim])) as [Tensor, Tensor, Tensor];
    const perHead = (t: Tensor) => t.reshape([B, N, heads, dim / heads]).transpose([0, 2, 1, 3]);
    const values = perHead(v);
    const attended = linearAttention(perHead(q.relu()), perHead(k.add(this.positional_encoding).relu()), values);
    const y = attended.add(this.locally(values)).transpose([0, 2, 1, 3]).reshape([B, N, dim]);
    return drop(this.proj.apply(y), dropout);
  }

  /** dwc of every head's values as an image: [B, H, N, W] → [B, H, N, W]. */
  private locally(v: Tensor): Tensor {
    const { height, width } = this.options;
    const [B, H, N, W] = v.shape as [number, number, number, number];
    const image = v
      .reshape([B * H, N, W])
      .transpose([0, 2, 1])
      .reshape([B * H, W, height, width]);
    return this.dwc
      .apply(image)
      .reshape([B * H, W, N])
      .transpose([0, 2, 1])
      .reshape([B, H, N, W]);
  }
}

/** q_i (Σ k_jᵀ v_j) / (q_i · Σ k_j + 1e-6) for [B, H, N, W], in the cheaper of its two orders. */
function linearAttention(q: Tensor, k: Tensor, v: Tensor): Tensor {
  const [N, W] = [q.dim(2), q.dim(3)];
  const total = k.sum(2, { keepDims: true });
  const divisor = q.mul(total).sum(-1, { keepDims: true }).add(1e-6);
  const transposed = k.transpose([0, 1, 3, 2]);
  const product = N > W ? q.matmul(transposed.matmul(v)) : q.matmul(transposed).matmul(v);
  return product.div(divisor);
}

export const simplifiedLinearAttention = (options: SimplifiedLinearAttentionOptions): SimplifiedLinearAttention =>
  new SimplifiedLinearAttention(options);

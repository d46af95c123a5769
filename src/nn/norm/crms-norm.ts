/**
 * CRMSNorm: the RMSNorm of a zero-mean vector of d numbers that is stored as its first d − 1 (the last is −Σc).
 *
 *   y = c / √((Σc² + (Σc)²) / d + ε)          c, y: [..., d − 1];   y = RMS(x)[:d − 1] for the zero-mean x
 *
 * ε = 1e-5 is LayerNorm's, since CRMSNorm takes its place with the same ε.
 *
 * Source: "Pre-RMSNorm and Pre-CRMSNorm Transformers: Equivalent and Efficient Pre-LN Transformers", 2023.
 */
import { fail, formatShape, type Tensor, Variable } from "../../tensor/index.js";
import { filled } from "../initial.js";
import { Module } from "../module.js";
import { at } from "../where.js";
import { checkEpsilon } from "./epsilon.js";

export interface CRMSNormOptions {
  readonly eps?: number;
  /** Learn a gain on the d − 1 stored entries (default false: a gain would destroy the zero mean they stand for). */
  readonly affine?: boolean;
}

export class CRMSNorm extends Module {
  readonly eps: number;
  readonly weight: Variable | undefined; // [d - 1]

  /** `entries`: d − 1, the length of the compressed vectors. */
  constructor(
    readonly entries: number,
    { eps = 1e-5, affine = false }: CRMSNormOptions = {},
  ) {
    super();
    if (!Number.isInteger(entries) || entries < 1)
      fail("shape", `CRMSNorm: expected a positive whole number of entries, got ${entries}`);
    this.eps = checkEpsilon("CRMSNorm", eps);
    this.weight = affine ? new Variable(filled([entries], 1)) : undefined;
  }

  override forward(c: Tensor): Tensor {
    if (c.rank === 0 || c.dim(-1) !== this.entries)
      fail("shape", `${at("CRMSNorm")}: expected last axis ${this.entries}, got ${formatShape(c.shape)}`);
    const y = c.dtype === "float16" ? this.normalize(c.cast("float32")).cast("float16") : this.normalize(c);
    return this.weight ? y.mul(this.weight) : y;
  }

  private normalize(c: Tensor): Tensor {
    const squares = c.square().sum(-1, { keepDims: true });
    const last = c.sum(-1, { keepDims: true }).square(); // (−Σc)², the entry that is not stored
    const d = this.entries + 1;
    return c.mul(squares.add(last).div(d).add(this.eps).rsqrt());
  }
}

export const crmsNorm = (entries: number, options?: CRMSNormOptions): CRMSNorm => new CRMSNorm(entries, options);

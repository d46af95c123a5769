/** A table of vectors: ids [...] of int32 or int64 to rows [..., width]. */
import { fail, embedding as lookUp, type Tensor, Variable } from "../tensor/index.js";
import { normal } from "./initial.js";
import { Module } from "./module.js";
import { at } from "./where.js";

export interface EmbeddingOptions {
  /** Subtract from every row its mean (Pre-RMSNorm and Pre-CRMSNorm Transformers, 2023). Default false. */
  readonly zeroMeanOutput?: boolean;
  /** Whether the table is trained (default true). */
  readonly trainable?: boolean;
}

export class Embedding extends Module {
  readonly weight: Variable; // [count, width]
  zeroMeanOutput: boolean;

  /** Throws where `count` or `width` is no positive whole number. First values: N(0, 0.02); see `initialize`. */
  constructor(count: number, width: number, { zeroMeanOutput = false, trainable = true }: EmbeddingOptions = {}) {
    super();
    for (const [name, n] of Object.entries({ count, width }))
      if (!Number.isInteger(n) || n < 1)
        fail("argument", `Embedding: expected ${name} to be a positive whole number, got ${n}`);
    this.weight = new Variable(normal([count, width], 0.02), { trainable });
    this.zeroMeanOutput = zeroMeanOutput;
  }

  get width(): number {
    return this.weight.dim(1);
  }

  override forward(ids: Tensor): Tensor {
    if (ids.dtype !== "int32" && ids.dtype !== "int64")
      fail(
        "dtype",
        `${at("Embedding")}: expected ids of int32 or int64, got ${ids.dtype}; cast them with ids.cast("int32")`,
      );
    const rows = lookUp(this.weight, ids);
    return this.zeroMeanOutput ? rows.sub(rows.mean(-1, { keepDims: true })) : rows;
  }
}

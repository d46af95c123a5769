/** A dense layer: y = x Wᵀ + b, with W [out, in] as checkpoints keep it. */
import { fail, formatShape, linear as product, type Tensor, Variable } from "../tensor/index.js";
import { uniform } from "./initial.js";
import { Weighted } from "./parametrization.js";
import { at } from "./where.js";

export interface LinearOptions {
  /** Add b [out] (default true). */
  readonly bias?: boolean;
  /**
   * Subtract from every output vector its mean, by recentring W and b over their output axis: y = x (W − W̄)ᵀ + b − b̄.
   * Makes a Pre-LN model trainable with RMSNorm (Pre-RMSNorm and Pre-CRMSNorm Transformers, 2023). Default false.
   */
  readonly zeroMeanOutput?: boolean;
}

export class Linear extends Weighted {
  override readonly weight: Variable; // [out, in]
  readonly bias: Variable | undefined; // [out]
  zeroMeanOutput: boolean;

  /** Throws where `inputs` or `outputs` is no positive whole number. First values: U(±1/√in); see `initialize`. */
  constructor(inputs: number, outputs: number, { bias = true, zeroMeanOutput = false }: LinearOptions = {}) {
    super();
    for (const [name, n] of Object.entries({ inputs, outputs }))
      if (!Number.isInteger(n) || n < 1)
        fail("argument", `Linear: expected ${name} to be a positive whole number, got ${n}`);
    this.weight = new Variable(uniform([outputs, inputs], 1 / Math.sqrt(inputs)));
    this.bias = bias ? new Variable(uniform([outputs], 1 / Math.sqrt(inputs))) : undefined;
    this.zeroMeanOutput = zeroMeanOutput;
  }

  get inputs(): number {
    return this.weight.dim(1);
  }

  get outputs(): number {
    return this.weight.dim(0);
  }

  override forward(x: Tensor): Tensor {
    if (x.rank === 0 || x.dim(-1) !== this.inputs)
      fail(
        "shape",
        `${at("Linear")}: expected last axis ${this.inputs}, got ${formatShape(x.shape)}; was the model built with width ${this.inputs}?`,
      );
    if (!this.zeroMeanOutput) return product(x, this.used(), this.bias);
    return product(x, centred(this.used()), this.bias && centred(this.bias));
  }
}

/** Minus the mean over the first axis, the output features. */
const centred = (w: Tensor): Tensor => w.sub(w.mean(0, { keepDims: true }));

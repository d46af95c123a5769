/**
 * The residual block of normaliser-free networks, which keeps the scale of activations without norms,
 *
 *   y = x + α s f(x / β)          s: a learned scalar, first 0 (the block starts as the identity)
 *   βₗ = √(1 + l α²)              the deviation of x before block l, where every f keeps variance 1
 *
 * with f any module whose output has the shape of its input, of standardised weights (`removeNorms`). After a block that
 * changes the shape β starts again at √(1 + α²). α = 0.2 is from the authors' code.
 *
 * Source: "Characterizing signal propagation to close the performance gap in unnormalized ResNets", 2021; the zero-initialised
 * scalar: "High-Performance Large-Scale Image Recognition Without Normalization", 2021.
 */
import { fail, formatShape, NDArray, sameShape, type Tensor, Variable } from "../tensor/index.js";
import { Module } from "./module.js";
import { at } from "./where.js";

export interface NormFreeResidualOptions {
  /** α, what a block adds (default 0.2). */
  readonly alpha?: number;
  /** β, the expected deviation of the input (default 1: `normFreeDeviations` gives those of a chain). */
  readonly beta?: number;
  /** Learn s, first 0 (default true); without it s is 1. */
  readonly gain?: boolean;
}

export class NormFreeResidual extends Module {
  readonly branch: Module;
  readonly gain: Variable | undefined; // scalar, s
  readonly alpha: number;
  readonly beta: number;

  /** Throws for α and β that are not positive. */
  constructor(branch: Module, { alpha = 0.2, beta = 1, gain = true }: NormFreeResidualOptions = {}) {
    super();
    for (const [name, value] of Object.entries({ alpha, beta }))
      if (!(value > 0 && Number.isFinite(value)))
        fail("argument", `NormFreeResidual: expected a positive ${name}, got ${value}`);
    this.branch = branch;
    this.gain = gain ? new Variable(NDArray.zeros([])) : undefined;
    this.alpha = alpha;
    this.beta = beta;
  }

  override forward(x: Tensor): Tensor {
    const f = this.branch.apply(x.mul(1 / this.beta));
    if (!sameShape(f.shape, x.shape))
      fail(
        "shape",
        `${at("NormFreeResidual")}: the branch makes ${formatShape(f.shape)} of ${formatShape(x.shape)}; expected the same shape`,
      );
    const scaled = f.mul(this.alpha);
    return x.add(this.gain ? scaled.mul(this.gain) : scaled);
  }
}

/** β of blocks in a row, from an input of variance 1. */
export const normFreeDeviations = (blocks: number, alpha = 0.2): number[] =>
  Array.from({ length: blocks }, (_, l) => Math.sqrt(1 + l * alpha * alpha));

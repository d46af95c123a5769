/**
 * Scaled weight standardisation, for networks without norms: filters of mean 0 and a variance that keeps that of the
 * activations through the non-linearity φ,
 *
 *   Ŵᵢ = γ gᵢ (Wᵢ − μᵢ) / √max(σ²ᵢ N, ε)        N: fan-in, σ²: biased, g: learned, first 1, γ = √(2 / (1 − 1/π)) for ReLU
 *
 * or, as in timm's checkpoints, γ gᵢ (Wᵢ − μᵢ) / √(σ²ᵢ + ε) / √N. Filters below the floor are scaled by 1/√ε, and no
 * gradient passes their variance.
 *
 * Sources: "Characterizing signal propagation to close the performance gap in unnormalized ResNets", 2021; "FedWon: Triumphing
 * Multi-domain Federated Learning Without Normalization", 2023.
 */
import { fail, type Tensor, Variable } from "../../tensor/index.js";
import { filled } from "../initial.js";
import { Module } from "../module.js";
import type { Weighted } from "../parametrization.js";
import { checkEpsilon } from "./epsilon.js";

/** 1 / √Var(φ(z)) for z of N(0, 1). */
export const activationGains = {
  identity: 1,
  relu: Math.sqrt(2 / (1 - 1 / Math.PI)),
  gelu: 1.7015043497,
  silu: 1.7881293297,
  tanh: 1.593911767,
  sigmoid: 4.803835392,
  elu: 1.2716004848,
  leakyRelu: 1.7059034109,
} as const;

export interface ScaledWeightStandardizationOptions {
  /** γ: a number, or that of an activation (default "relu"). */
  readonly gamma?: number | keyof typeof activationGains;
  /** Learn g (default true). */
  readonly gain?: boolean;
  /** "floor" (default): √max(σ² N, ε), ε 1e-4. "inside": √(σ² + ε) √N, ε 1e-6, timm's. */
  readonly epsMode?: "floor" | "inside";
  readonly eps?: number;
}

export class ScaledWeightStandardization extends Module {
  readonly gain: Variable; // [out]
  readonly gamma: number;
  readonly epsMode: "floor" | "inside";
  readonly eps: number;

  /** Throws for a layer whose filters have a fan-in of 1. */
  constructor({ weight }: Pick<Weighted, "weight">, options: ScaledWeightStandardizationOptions = {}) {
    super();
    const { gamma = "relu", gain = true, epsMode = "floor", eps = epsMode === "floor" ? 1e-4 : 1e-6 } = options;
    if (weight.size === weight.dim(0))
      fail("shape", "scaled weight standardisation: a filter of fan-in 1 has no variance; leave this layer out");
    this.gain = new Variable(filled([weight.dim(0)], 1), { trainable: gain });
    this.gamma = typeof gamma === "number" ? gamma : activationGains[gamma];
    this.epsMode = epsMode;
    this.eps = checkEpsilon("ScaledWeightStandardization", eps);
  }

  override forward(W: Tensor): Tensor {
    const N = W.size / W.dim(0);
    const rows = W.reshape([W.dim(0), N]);
    const centred = rows.sub(rows.mean(1, { keepDims: true }));
    const variance = centred.square().mean(1, { keepDims: true });
    const deviation =
      this.epsMode === "floor"
        ? variance.mul(N).maximum(this.eps).sqrt()
        : variance.add(this.eps).sqrt().mul(Math.sqrt(N));
    const gain = this.gain.mul(this.gamma).reshape([W.dim(0), 1]);
    return centred.mul(gain.div(deviation)).reshape(W.shape);
  }
}

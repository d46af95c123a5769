/**
 * LayerNorm Scaling (LNS): Pre-LN with the output of both norms of block l = 1, 2, … multiplied by the constant 1/√l.
 *
 *   x = x + Attn(k_l · Norm1(x));   x = x + MLP(k_l · Norm2(x));   k_l = 1/√l, after gain and bias
 *
 * Deep blocks then add less variance, so the stream grows slowly with depth and deep blocks keep a useful gradient.
 * The final norm is not scaled. Do not combine it with a depth-scaled initialisation: the authors state that this
 * cancels the benefit.
 *
 * Source: "The Curse of Depth in Large Language Models", 2025.
 */
import { fail } from "../../tensor/errors.js";
import type { PlacementStrategy } from "./placement.js";
import { pre } from "./pre.js";

export interface LayerNormScalingOptions {
  /** k of block `layer` (from 0) in a stack of `depth`; default 1/√(layer + 1), the paper's. */
  readonly scale?: (layer: number, depth: number) => number;
}

/** Throws for a scale that is negative or not finite, and for a layer that is no whole number. */
export function layerNormScaling({ scale = inverseRoot }: LayerNormScalingOptions = {}): PlacementStrategy {
  const { attention, mlp } = pre();
  return (layer, depth) => {
    if (!Number.isInteger(layer) || layer < 0)
      fail("argument", `layerNormScaling: expected a block number 0, 1, …, got ${layer}`);
    const k = scale(layer, depth);
    if (!Number.isFinite(k) || k < 0)
      fail("argument", `layerNormScaling: expected a finite scale of at least 0 for block ${layer}, got ${k}`);
    return { kind: "layer-norm-scaling", attention: { ...attention, scale: k }, mlp: { ...mlp, scale: k } };
  };
}

const inverseRoot = (layer: number): number => 1 / Math.sqrt(layer + 1);

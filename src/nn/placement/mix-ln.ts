/**
 * Mix-LN: the first P = ⌊α·L⌋ blocks of a stack are Post-LN, the rest Pre-LN. Post-LN gives deep layers large gradients
 * and early ones small, Pre-LN the opposite; in this order the two make them nearly uniform over depth.
 *
 *   block i < P:   x = NormA(x + Attn(x));   x = NormB(x + MLP(x))
 *   block i ≥ P:   x = x + Attn(NormA(x));   x = x + MLP(NormB(x))
 *
 * There is no norm of its own between the two parts. Needs a warm-up of the learning rate; the paper on the curse of
 * depth could not train it stably at 350M and 1B parameters.
 *
 * Source: "Mix-LN: Unleashing the Power of Deeper Layers by Combining Pre-LN and Post-LN", 2024.
 */
import { fail } from "../../tensor/errors.js";
import { warn } from "../warn.js";
import type { PlacementStrategy } from "./placement.js";
import { post } from "./post.js";
import { pre } from "./pre.js";

/** Either the share of Post-LN blocks, or their number. */
export type MixOptions =
  | { /** Share of Post-LN blocks (default 0.25). */ readonly alpha?: number; readonly postLayers?: never }
  | { readonly alpha?: never /** P, their number. */; readonly postLayers: number };

/** Throws for α outside [0, 1], a P that is no whole number or exceeds the depth, or both options at once. */
export function mix({ alpha, postLayers }: MixOptions = {}): PlacementStrategy {
  if (alpha !== undefined && postLayers !== undefined)
    fail("argument", `mix: give alpha or postLayers, not both (got alpha ${alpha} and postLayers ${postLayers})`);
  if (postLayers === undefined) return mixByShare(alpha ?? 0.25);
  if (!Number.isInteger(postLayers) || postLayers < 0)
    fail("argument", `mix: expected postLayers to be a whole number of blocks, got ${postLayers}`);
  return (layer, depth) => {
    if (postLayers > depth) fail("argument", `mix: postLayers ${postLayers} exceeds the ${depth} blocks of the stack`);
    return layer < postLayers ? post() : pre();
  };
}

function mixByShare(alpha: number): PlacementStrategy {
  if (!(alpha >= 0 && alpha <= 1)) fail("argument", `mix: expected alpha in [0, 1], got ${alpha}`);
  return (layer, depth) => {
    const P = Math.floor(alpha * depth + 1e-9); // the tiny term: 0.29 · 100 is 28.999…
    if (P === 0 && alpha > 0 && layer === 0)
      warn(`mix: alpha ${alpha} of ${depth} blocks is no whole block, so nothing is mixed; raise alpha or the depth`);
    return layer < P ? post() : pre();
  };
}

/**
 * Parallel sublayers: both read the block's input, each through its own norm, and are added together.
 *
 *   y = x + Attention(Norm(x)) + MLP(Norm'(x))
 *
 * Source: "GPT-NeoX-20B: An Open-Source Autoregressive Language Model", 2022 (after GPT-J, 2021).
 */
import type { Placement } from "./placement.js";
import { pre } from "./pre.js";

export const parallel = (): Placement => ({ ...pre(), kind: "parallel", parallel: true });

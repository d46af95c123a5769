/**
 * Pre-LN: the norm stands before each module, the stream is never normalised.
 *
 *   y = x + Module(Norm(x))
 *
 * Source: "On Layer Normalization in the Transformer Architecture", 2020; the layout of GPT-2 and Llama.
 */
import type { Placement } from "./placement.js";

export const pre = (): Placement => ({
  kind: "pre",
  attention: { input: "input_layernorm" },
  mlp: { input: "post_attention_layernorm" },
});

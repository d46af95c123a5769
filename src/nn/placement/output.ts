/**
 * Output-LN: only what a module adds is normalised; the module reads the raw stream. The layout of OLMo 2.
 *
 *   y = x + Norm_out(Module(x))
 *
 * Source: "Peri-LN: Revisiting Layer Normalization in the Transformer Architecture", 2025 (position B alone).
 */
import { type OutputGainOptions, outputGain } from "./peri-ln.js";
import type { Placement } from "./placement.js";

export function output(options: OutputGainOptions = {}): Placement {
  const gain = outputGain(options);
  return {
    kind: "output",
    attention: { output: "post_attention_layernorm", ...gain },
    mlp: { output: "post_feedforward_layernorm", ...gain },
  };
}

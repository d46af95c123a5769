/**
 * Peri-LN: every module is normalised on its input and again on its output, and only the normalised output is added.
 *
 *   y = x + Norm_out(Module(Norm_in(x)))          Norm_out stands before the addition; after it would be Post-LN
 *
 * The stream is never normalised, yet every module adds a fixed amount of variance to it: Var(x_n) ≈ Var(x_0) + n for
 * unit gains, whatever the scale of the weights. Gemma 2 and 3 use this layout and these names.
 *
 * Source: "Peri-LN: Revisiting Layer Normalization in the Transformer Architecture", 2025.
 */
import { fail } from "../../tensor/errors.js";
import type { Placement, SublayerNorms } from "./placement.js";

export interface OutputGainOptions {
  /** First value of the output norms' gains (default 1). */
  readonly outputGainInit?: number;
  /** Whether they are trained (default true; freezing them was reported to cost quality). */
  readonly trainOutputGain?: boolean;
}

export function peri(options: OutputGainOptions = {}): Placement {
  const gain = outputGain(options);
  return {
    kind: "peri",
    attention: { input: "input_layernorm", output: "post_attention_layernorm", ...gain },
    mlp: { input: "pre_feedforward_layernorm", output: "post_feedforward_layernorm", ...gain },
  };
}

/** The options as a placement keeps them; nothing when they are the defaults, which every norm can do. */
export function outputGain({ outputGainInit = 1, trainOutputGain = true }: OutputGainOptions): SublayerNorms {
  if (!Number.isFinite(outputGainInit))
    fail("argument", `placement: expected a finite outputGainInit, got ${outputGainInit}`);
  if (outputGainInit === 1 && trainOutputGain) return {};
  return { outputGain: { initial: outputGainInit, trainable: trainOutputGain } };
}

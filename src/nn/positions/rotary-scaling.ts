/**
 * Ways to stretch rotary positions over longer texts than a model was trained on, as checkpoints name them in
 * `rope_scaling`. f: frequencies of the pairs, fastest first; s: the factor of stretching.
 */
import { fail } from "../../tensor/errors.js";
import type { RotaryScaling } from "./rotary.js";

/** Position interpolation: f' = f / s. Source: "Extending Context Window of Large Language Models via Positional Interpolation", 2023. */
export const linearScaling = (factor: number): RotaryScaling => ({
  name: "linear",
  config: { rope_type: "linear", factor: positive("linear", "factor", factor) },
  frequencies: (plain) => plain.map((f) => f / factor),
});

export interface Llama3Scaling {
  readonly factor: number;
  readonly lowFreqFactor: number;
  readonly highFreqFactor: number;
  /** Context of the first training. */
  readonly original: number;
}

/**
 * Llama 3.1: slow pairs (wavelength over original / low) are stretched, fast ones (under original / high) kept, those
 * between blended by w = (original / wavelength − low) / (high − low):  f' = (1 − w) f / s + w f.
 * Source: "The Llama 3 Herd of Models", 2024, and its released code.
 */
export function llama3Scaling({
  factor,
  lowFreqFactor: low,
  highFreqFactor: high,
  original,
}: Llama3Scaling): RotaryScaling {
  for (const [name, n] of Object.entries({ factor, low, high, original })) positive("llama3", name, n);
  return {
    name: "llama3",
    config: {
      rope_type: "llama3",
      factor,
      low_freq_factor: low,
      high_freq_factor: high,
      original_max_position_embeddings: original,
    },
    frequencies: (plain) =>
      plain.map((f) => {
        const w = (original * f) / (2 * Math.PI); // turns within the first context
        if (w > high) return f;
        if (w < low) return f / factor;
        const blend = (w - low) / (high - low);
        return ((1 - blend) * f) / factor + blend * f;
      }),
  };
}

export interface YarnScaling {
  readonly factor: number;
  /** Context of the first training. */
  readonly original: number;
  /** Turns within it above which a pair is kept (default 32), and below which it is stretched in full (default 1). */
  readonly betaFast?: number;
  readonly betaSlow?: number;
  /** Factor on cos and sin (default 0.1 ln s + 1). */
  readonly attention?: number;
}

/**
 * YaRN: pairs are kept, stretched or blended by a ramp over their index, between the indices whose pairs turn betaFast
 * and betaSlow times within the first context; cos and sin grow by 0.1 ln s + 1.
 * Source: "YaRN: Efficient Context Window Extension of Large Language Models", 2023.
 */
export function yarnScaling({ factor, original, betaFast = 32, betaSlow = 1, attention }: YarnScaling): RotaryScaling {
  for (const [name, n] of Object.entries({ factor, original, betaFast, betaSlow })) positive("yarn", name, n);
  return {
    name: "yarn",
    config: {
      rope_type: "yarn",
      factor,
      original_max_position_embeddings: original,
      beta_fast: betaFast,
      beta_slow: betaSlow,
      ...(attention !== undefined && { attention_factor: attention }),
    },
    attention: attention ?? (factor <= 1 ? 1 : 0.1 * Math.log(factor) + 1),
    frequencies: (plain, base) => {
      const width = 2 * plain.length;
      const indexOf = (turns: number) => (width * Math.log(original / (turns * 2 * Math.PI))) / (2 * Math.log(base));
      const low = Math.max(Math.floor(indexOf(betaFast)), 0);
      const high = Math.min(Math.ceil(indexOf(betaSlow)), width - 1);
      return plain.map((f, k) => {
        const ramp = Math.min(1, Math.max(0, (k - low) / (high === low ? 0.001 : high - low)));
        return (ramp * f) / factor + (1 - ramp) * f;
      });
    },
  };
}

function positive(kind: string, name: string, value: number): number {
  if (!(value > 0 && Number.isFinite(value)))
    fail("argument", `rotary scaling "${kind}": expected a positive ${name}, got ${value}`);
  return value;
}

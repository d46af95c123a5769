/**
 * ALiBi: scores fall linearly with distance, at a slope of its own for every head, so a model can read longer texts
 * than it was trained on.
 *
 *   score[h, i, j] −= m_h · (i − j);   m_h = 2^(−8h/H), h = 1 … H
 *
 * For a number of heads that is no power of two, the slopes of the next power of two fill in, as in the authors' code.
 * Source: "Train Short, Test Long: Attention with Linear Biases Enables Input Length Extrapolation", 2021.
 */
import { tensor } from "../../tensor/index.js";
import type { Positions } from "./positions.js";

export const alibi = (): Positions => ({
  name: "alibi",
  bias: (heads, query, key) => {
    const slopes = tensor(alibiSlopes(heads), { shape: [heads, 1, 1] });
    return key.sub(query).cast("float32").mul(slopes); // [heads, tokens, keys]
  },
});

export function alibiSlopes(heads: number): number[] {
  const power = 2 ** Math.floor(Math.log2(heads));
  const slopes = (n: number): number[] => Array.from({ length: n }, (_, h) => 2 ** ((-8 * (h + 1)) / n));
  const between = slopes(2 * power).filter((_, h) => h % 2 === 0);
  return [...slopes(power), ...between].slice(0, heads);
}

/**
 * Rotary positions (RoPE): each pair of a head's features turns by an angle that grows with the position, so a score
 * depends on the distance alone. Half rotation, as in Llama: feature k pairs with k + W/2 of a head W wide.
 *
 *   θ = t / base^(2k/W);   x'_k = x_k cos θ − x_{k+W/2} sin θ;   x'_{k+W/2} = x_{k+W/2} cos θ + x_k sin θ
 *
 * Angles are found in float64. Source: "RoFormer: Enhanced Transformer with Rotary Position Embedding", 2021.
 */
import { embedding, fail, NDArray, type Tensor, tensor } from "../../tensor/index.js";
import type { Positions } from "./positions.js";

export interface RotaryOptions {
  /** Slowest wavelength, in units of 2π positions (default 10000). */
  readonly base?: number;
}

export function rotary({ base = 10000 }: RotaryOptions = {}): Positions {
  if (!(base > 0 && Number.isFinite(base))) fail("argument", `rotary: expected a positive base, got ${base}`);
  const tables = lastOf((tokens, width) => turns(tokens, width, base)); // all layers of a model share one table
  return {
    name: "rotary",
    rotate: (x, positions) => {
      const [tokens, width] = [x.dim(-2), x.dim(-1)];
      if (width % 2 !== 0) fail("shape", `rotary: expected an even head width, got ${width}; features turn in pairs`);
      const { cos, sin } = tables(tokens, width);
      const partner = x.roll(width / 2, -1); // feature k at the place of its partner
      // [tokens, width], or a row of it for every position: [batch, 1, tokens, width].
      const turn = (table: NDArray): Tensor => {
        const rows = tensor(table, { dtype: x.dtype });
        return positions ? embedding(rows, positions).unsqueeze(1) : rows;
      };
      return x.mul(turn(cos)).add(partner.mul(turn(sin)));
    },
  };
}

/** cos and (for the first half negated) sin of every position and feature: [tokens, width] each. */
function turns(tokens: number, width: number, base: number): { cos: NDArray; sin: NDArray } {
  const table = (entry: (angle: number, sign: number) => number): NDArray => {
    const entries = Float64Array.from({ length: tokens * width }, (_, n) => {
      const [t, i] = [Math.floor(n / width), n % width];
      const k = i % (width / 2);
      return entry(t / base ** ((2 * k) / width), i < width / 2 ? -1 : 1);
    });
    return NDArray.from(entries, "float32", [tokens, width]);
  };
  return { cos: table((angle) => Math.cos(angle)), sin: table((angle, sign) => sign * Math.sin(angle)) };
}

/** Remember the last answer. */
function lastOf<T>(make: (tokens: number, width: number) => T): (tokens: number, width: number) => T {
  let last: { tokens: number; width: number; value: T } | undefined;
  return (tokens, width) => {
    if (last?.tokens !== tokens || last.width !== width) last = { tokens, width, value: make(tokens, width) };
    return last.value;
  };
}

/**
 * Rotary positions (RoPE): each pair of a head's features turns by an angle that grows with the position, so a score
 * depends on the distance alone. Half rotation, as in Llama: feature k pairs with k + R/2 of the R features that turn.
 *
 *   θ_k = t · f_k,  f_k = base^(−2k/R);   x'_k = x_k cos θ − x_{k+R/2} sin θ;   x'_{k+R/2} = x_{k+R/2} cos θ + x_k sin θ
 *
 * A scaling changes the frequencies f_k of a trained model so that it reads longer texts. Angles are found in float64.
 * Sources: "RoFormer: Enhanced Transformer with Rotary Position Embedding", 2021; scalings below.
 */
import { concat, fail, NDArray, type Tensor, tensor } from "../../tensor/index.js";
import type { Place, Positions } from "./positions.js";

/** Changes the frequencies of R/2 pairs; `attention` multiplies cos and sin. */
export interface RotaryScaling {
  readonly name: string;
  /** What a checkpoint's `rope_scaling` says, to be written back. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly frequencies: (plain: readonly number[], base: number) => number[];
  readonly attention?: number;
}

export interface RotaryOptions {
  /** Slowest wavelength, in units of 2π positions (default 10000). */
  readonly base?: number;
  /** The part of a head's features that turns, the first ones (default 1); GPT-NeoX: 0.25. */
  readonly fraction?: number;
  readonly scaling?: RotaryScaling;
}

export function rotary(options: RotaryOptions = {}): Positions {
  const { base = 10000, fraction = 1 } = options;
  if (!(base > 0 && Number.isFinite(base))) fail("argument", `rotary: expected a positive base, got ${base}`);
  if (!(fraction > 0 && fraction <= 1)) fail("argument", `rotary: expected a fraction in (0, 1], got ${fraction}`);
  const tables = lastOf((length, width) => turns(length, width, { ...options, base })); // one table for all layers
  return {
    name: "rotary",
    rotate: (x, place) => {
      const width = turning(x.dim(-1), fraction);
      const { cos, sin } = tables(place?.length ?? x.dim(-2), width);
      const turned = width === x.dim(-1) ? x : x.slice({ axis: -1, end: width });
      const partner = turned.roll(width / 2, -1); // feature k at the place of its partner
      const y = turned.mul(rows(cos, x, place)).add(partner.mul(rows(sin, x, place)));
      return width === x.dim(-1) ? y : concat([y, x.slice({ axis: -1, start: width })], -1);
    },
  };
}

function turning(width: number, fraction: number): number {
  const turned = Math.trunc(width * fraction);
  if (turned % 2 !== 0 || turned === 0)
    fail("shape", `rotary: expected an even head width, got ${turned}; features turn in pairs`);
  return turned;
}

/** The table's rows for x [batch, heads, tokens, width]: the first ones, or those of its places. */
function rows(table: NDArray, x: Tensor, place: Place | undefined): Tensor {
  const entries = tensor(table, { dtype: x.dtype });
  return place ? entries.gather(place.positions, 0).unsqueeze(1) : entries; // [batch | 1, 1, tokens, width]
}

/** cos and (for the first half negated) sin of every position and feature: [length, width] each. */
function turns(
  length: number,
  width: number,
  { base = 10000, scaling }: RotaryOptions,
): { cos: NDArray; sin: NDArray } {
  const plain = Array.from({ length: width / 2 }, (_, k) => base ** ((-2 * k) / width));
  const frequencies = scaling ? scaling.frequencies(plain, base) : plain;
  const factor = scaling?.attention ?? 1;
  const table = (entry: (angle: number, sign: number) => number): NDArray => {
    const entries = Float64Array.from({ length: length * width }, (_, n) => {
      const [t, i] = [Math.floor(n / width), n % width];
      return factor * entry(t * (frequencies[i % (width / 2)] as number), i < width / 2 ? -1 : 1);
    });
    return NDArray.from(entries, "float32", [length, width]);
  };
  return { cos: table((angle) => Math.cos(angle)), sin: table((angle, sign) => sign * Math.sin(angle)) };
}

/** Remember the last answer. */
function lastOf<T>(make: (length: number, width: number) => T): (length: number, width: number) => T {
  let last: { length: number; width: number; value: T } | undefined;
  return (length, width) => {
    if (last?.length !== length || last.width !== width) last = { length, width, value: make(length, width) };
    return last.value;
  };
}

/**
 * The next token from logits, on the host. In this order, as Hugging Face has it:
 *
 *   repetition penalty r   logit of a token that has occurred: /r where positive, ·r where negative
 *   temperature τ          logits / τ;  τ = 0: the largest logit wins (greedy)
 *   top-k                  the k most likely tokens stay
 *   top-p                  the smallest set of most likely tokens with a probability of p together stays
 *   min-p                  tokens with at least p times the largest probability stay
 *
 * Sources: "The Curious Case of Neural Text Degeneration" (top-p), 2019; "CTRL" (repetition penalty), 2019;
 * "Turning Up the Heat: Min-p Sampling", 2024.
 */
import { fail, philoxUniform } from "../../tensor/index.js";

export interface SamplingOptions {
  /** 0 (default): greedy. */
  readonly temperature?: number;
  /** 0 (default): all tokens. */
  readonly topK?: number;
  /** Default 1: all tokens. */
  readonly topP?: number;
  /** Default 0: all tokens. */
  readonly minP?: number;
  /** Default 1: none. */
  readonly repetitionPenalty?: number;
  /** Same seed, same tokens (default 0). */
  readonly seed?: number;
}

/** The next token of row `row` at step `step`, whose text so far has the tokens `seen`. */
export type Sampler = (logits: Float32Array, seen: Iterable<number>, row: number, step: number) => number;

/** Throws for values out of range, and (in use) where no logit is finite. */
export function sampler(options: SamplingOptions = {}): Sampler {
  const { temperature = 0, topK = 0, topP = 1, minP = 0, repetitionPenalty = 1, seed = 0 } = options;
  check("temperature", temperature, temperature >= 0, "at least 0");
  check("topK", topK, Number.isInteger(topK) && topK >= 0, "a whole number of at least 0");
  check("topP", topP, topP > 0 && topP <= 1, "in (0, 1]");
  check("minP", minP, minP >= 0 && minP <= 1, "in [0, 1]");
  check("repetitionPenalty", repetitionPenalty, repetitionPenalty > 0, "above 0");
  return (raw, seen, row, step) => {
    const logits = repetitionPenalty === 1 ? raw : penalized(raw, seen, repetitionPenalty);
    const best = largest(logits);
    if (temperature === 0) return best;
    const candidates = mostLikely(logits, best, { temperature, topK, topP, minP });
    const [u = 0] = philoxUniform({ seed, site: `sample ${row}`, step }, 1);
    return drawn(candidates, u);
  };
}

function check(name: string, value: number, isRight: boolean, expected: string): void {
  if (!isRight || !Number.isFinite(value)) fail("argument", `generate: expected ${name} ${expected}, got ${value}`);
}

function penalized(raw: Float32Array, seen: Iterable<number>, penalty: number): Float32Array {
  const logits = raw.slice();
  for (const id of new Set(seen)) {
    const value = logits[id];
    if (value !== undefined) logits[id] = value > 0 ? value / penalty : value * penalty;
  }
  return logits;
}

function largest(logits: Float32Array): number {
  let best = -1;
  for (let id = 0; id < logits.length; id++)
    if ((logits[id] as number) > (best < 0 ? Number.NEGATIVE_INFINITY : (logits[best] as number))) best = id;
  return best < 0
    ? fail("numeric", "generate: no logit is finite; the weights or the engine's numbers are broken")
    : best;
}

interface Candidates {
  readonly ids: readonly number[];
  /** Relative to the largest: exp((logit − max) / τ). */
  readonly weights: readonly number[];
}

function mostLikely(
  logits: Float32Array,
  best: number,
  { temperature, topK, topP, minP }: Required<Pick<SamplingOptions, "temperature" | "topK" | "topP" | "minP">>,
): Candidates {
  const top = logits[best] as number;
  const weight = (id: number) => Math.exp(((logits[id] as number) - top) / temperature);
  let ids: number[] = [];
  // Only tokens that can be drawn at all: at e^-40 the sum does not change.
  for (let id = 0; id < logits.length; id++) if (((logits[id] as number) - top) / temperature > -40) ids.push(id);
  const isOrdered = topK > 0 || topP < 1;
  if (isOrdered) ids.sort((a, b) => (logits[b] as number) - (logits[a] as number) || a - b);
  if (topK > 0) ids = ids.slice(0, topK);
  if (topP < 1) ids = ids.slice(0, nucleus(ids.map(weight), topP));
  if (minP > 0) ids = ids.filter((id) => weight(id) >= minP);
  return { ids, weights: ids.map(weight) };
}

/** How many of the descending weights make up the share p. */
function nucleus(weights: readonly number[], p: number): number {
  const needed = p * weights.reduce((a, b) => a + b, 0);
  let sum = 0;
  for (const [i, weight] of weights.entries()) {
    sum += weight;
    if (sum >= needed) return i + 1;
  }
  return weights.length;
}

function drawn({ ids, weights }: Candidates, u: number): number {
  let left = u * weights.reduce((a, b) => a + b, 0);
  for (const [i, weight] of weights.entries()) {
    left -= weight;
    if (left < 0) return ids[i] as number;
  }
  return ids.at(-1) as number;
}

/**
 * How much blocks change the direction of the stream, from its states on the host, in float64.
 *
 *   angular distance A(l, n) = mean over samples of arccos(cos(h_l, h_{l+n})) / π, at one token of each sample
 *   block influence  BI(l)   = 1 - mean over tokens of cos(h_l, h_{l+1})
 *
 * Source: "The Curse of Depth in Large Language Models", 2025.
 */
import { compile } from "../runtime/index.js";
import { fail, type NDArray, stack, type Tensor } from "../tensor/index.js";
import { type ResidualStack, remember } from "./stack.js";

const statesProgram = remember((model: ResidualStack) =>
  compile(({ tokens }: { tokens: Tensor }) => ({ states: stack(model.hiddenStates(tokens)) })),
);

const normedProgram = remember((model: ResidualStack) =>
  compile(({ tokens }: { tokens: Tensor }) => {
    const states = model.hiddenStates(tokens);
    const last = states.at(-1) as Tensor;
    return { states: stack([...states.slice(0, -1), model.model.norm?.apply(last) ?? last]) };
  }),
);

export interface StatesOptions {
  /** The last state after the final norm, as Hugging Face's hidden states are (default: the raw stream). */
  readonly afterFinalNorm?: boolean;
}

/** [L + 1, batch, tokens, width]: the stream before the first block and after each. Throws for an empty batch. */
export async function hiddenStates(
  model: ResidualStack,
  tokens: NDArray,
  { afterFinalNorm = false }: StatesOptions = {},
): Promise<NDArray> {
  if (tokens.size === 0) fail("shape", `hiddenStates: the batch [${tokens.shape.join(", ")}] is empty`);
  return (await (afterFinalNorm ? normedProgram : statesProgram)(model)({ tokens })).states;
}

/** Which token stands for a sample: its last, its first (a class token), or the mean over all. */
export type TokenChoice = "last" | "first" | "mean";

export interface AngularOptions {
  readonly token?: TokenChoice;
  /** Tokens of each sample that are not padding (default: all), so that "last" is the true last one; over all batches. */
  readonly lengths?: readonly number[];
  /** Largest gap n (default L). */
  readonly maxSpan?: number;
}

/**
 * Row n - 1, column l; null where l + n is beyond the last state. `states` as `hiddenStates` gives them, of one batch or
 * of several. The cosine is clamped, so equal states have distance exactly 0; a zero vector has no direction and counts
 * as 0.5. Throws where maxSpan exceeds the blocks, and where a state is not finite, naming the layer.
 */
export function angularDistance(
  states: NDArray | readonly NDArray[],
  { token = "last", lengths, maxSpan }: AngularOptions = {},
): (number | null)[][] {
  const batches = listOf("angularDistance", states);
  const count = batches[0]?.shape[0] as number;
  const span = maxSpan ?? count - 1;
  if (count < 2) fail("argument", "angularDistance: expected at least one block");
  if (!Number.isInteger(span) || span < 1 || span > count - 1)
    fail("argument", `angularDistance: maxSpan must be in 1..${count - 1}, got ${span}`);
  const vectors = Array.from({ length: count }, (_, l) => samplesOf(batches, l, token, lengths));
  return Array.from({ length: span }, (_, row) =>
    Array.from({ length: count - 1 }, (_, l) => {
      const other = vectors[l + row + 1];
      if (!other) return null;
      const angles = (vectors[l] as Float64Array[]).map(
        (v, b) => Math.acos(cosine(v, other[b] as Float64Array)) / Math.PI,
      );
      return angles.reduce((a, b) => a + b, 0) / angles.length;
    }),
  );
}

/** The vectors that stand for the samples of all batches after `l` blocks. */
function samplesOf(
  batches: readonly NDArray[],
  l: number,
  token: TokenChoice,
  lengths: readonly number[] | undefined,
): Float64Array[] {
  const vectors: Float64Array[] = [];
  for (const states of batches)
    for (let b = 0; b < (states.shape[1] as number); b++)
      vectors.push(tokenVector(states, l, b, token, lengths?.[vectors.length]));
  if (!vectors.every((vector) => vector.every(Number.isFinite)))
    fail("numeric", `angularDistance: the stream after ${l} blocks is not finite`);
  return vectors;
}

function listOf(name: string, states: NDArray | readonly NDArray[]): readonly NDArray[] {
  const batches = "shape" in states ? [states] : states;
  if (batches.length === 0 || batches.some(({ size }) => size === 0))
    fail("argument", `${name}: expected the states of at least one batch that is not empty`);
  return batches;
}

/** Each row clipped to its 1st and 99th percentile (linear interpolation), then stretched to [0, 1]; a constant row is 0. */
export function normalizeRows(rows: readonly (readonly (number | null)[])[]): (number | null)[][] {
  return rows.map((row) => {
    const sorted = row.filter((v) => v !== null).sort((a, b) => a - b);
    const [low, high] = [percentile(sorted, 0.01), percentile(sorted, 0.99)];
    return row.map((v) =>
      v === null ? null : high > low ? (Math.min(high, Math.max(low, v)) - low) / (high - low) : 0,
    );
  });
}

/**
 * 1 - mean cosine between the input and the output of each block, over all tokens of one batch or of several. Throws
 * where a state is not finite, naming the layer.
 */
export function blockInfluence(states: NDArray | readonly NDArray[]): number[] {
  const batches = listOf("blockInfluence", states);
  return Array.from({ length: (batches[0]?.shape[0] as number) - 1 }, (_, l) => {
    let [sum, tokens] = [0, 0];
    for (const batch of batches) {
      const [, size, length, width] = batch.shape as [number, number, number, number];
      const rows = size * length;
      const vector = (layer: number, row: number) => slice(batch, (layer * rows + row) * width, width);
      for (let row = 0; row < rows; row++) sum += cosine(vector(l, row), vector(l + 1, row));
      tokens += rows;
    }
    if (!Number.isFinite(sum)) fail("numeric", `blockInfluence: the stream around block ${l} is not finite`);
    return 1 - sum / tokens;
  });
}

const slice = ({ data }: NDArray, start: number, length: number): Float64Array =>
  Float64Array.from(data.subarray(start, start + length) as Float32Array);

function tokenVector(states: NDArray, l: number, b: number, token: TokenChoice, length?: number): Float64Array {
  const [, batch, tokens, width] = states.shape as [number, number, number, number];
  const start = (l * batch + b) * tokens * width;
  const count = length ?? tokens;
  if (!Number.isInteger(count) || count < 1 || count > tokens)
    fail("argument", `angularDistance: sample ${b} has length ${count}, expected 1..${tokens}`);
  if (token === "first") return slice(states, start, width);
  if (token === "last") return slice(states, start + (count - 1) * width, width);
  const mean = new Float64Array(width);
  for (let t = 0; t < count; t++)
    for (const [i, v] of slice(states, start + t * width, width).entries()) mean[i] = (mean[i] as number) + v / count;
  return mean;
}

/** Clamped to [-1, 1], exactly 1 for equal vectors; a zero vector is at a right angle to everything. */
function cosine(a: Float64Array, b: Float64Array): number {
  let [dot, aa, bb, same] = [0, 0, 0, true];
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i] as number, b[i] as number];
    dot += x * y;
    aa += x * x;
    bb += y * y;
    same &&= x === y;
  }
  if (aa === 0 || bb === 0) return 0;
  return same ? 1 : Math.min(1, Math.max(-1, dot / Math.sqrt(aa * bb)));
}

function percentile(sorted: readonly number[], p: number): number {
  const at = p * (sorted.length - 1);
  const low = Math.floor(at);
  const [a, b] = [sorted[low] ?? 0, sorted[Math.min(sorted.length - 1, low + 1)] ?? 0];
  return a + (b - a) * (at - low);
}

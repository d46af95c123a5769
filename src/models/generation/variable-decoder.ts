/**
 * A model's own variables as a decoder: one program reads the prompt, the same one with a single token goes on. Prompts are
 * padded to few lengths and the cache grows in few sizes, since every shape is compiled once.
 */
import { type CompileOptions, compile, type Program } from "../../runtime/index.js";
import { arange, NDArray, structureRevision, type Tensor, type Variable } from "../../tensor/index.js";
import type { GPT } from "../gpt.js";
import type { Decoder } from "./decoder.js";
import { VariableCache } from "./variable-cache.js";

type StepInputs = { readonly tokens: Tensor; readonly start: Tensor; readonly count: Tensor };

interface Stage {
  readonly cache: VariableCache;
  readonly step: Program<StepInputs, { logits: Tensor }>;
  /** The tokens whose keys and values are in the cache, row by row. */
  held: readonly (readonly number[])[];
  /** The weights that they were made with. */
  weights: Weights | undefined;
}

/** Which values a model had: a variable that is set, or trained, has another one. */
interface Weights {
  readonly revision: number;
  readonly variables: readonly Variable[];
  readonly values: readonly unknown[];
}

/** The length of prompts and caches that is compiled for `n`: a power of two, or one and a half. */
const rounded = (n: number, least: number): number => {
  let size = least;
  while (size < n) size = Number.isInteger(Math.log2(size)) ? (size * 3) / 2 : (size * 4) / 3;
  return size;
};

export class VariableDecoder implements Decoder {
  readonly context: number;
  readonly vocabulary: number;
  #stage: Stage | undefined;

  constructor(
    readonly model: GPT,
    readonly options: CompileOptions = {},
  ) {
    ({ context: this.context, vocabulary: this.vocabulary } = model.config);
  }

  async release(): Promise<void> {
    const stage = this.#stage;
    this.#stage = undefined;
    await stage?.step.release();
    stage?.cache.release();
  }

  /** Feeds what the cache does not hold yet. */
  async logits(rows: readonly (readonly number[])[]): Promise<Float32Array[]> {
    const longest = Math.max(...rows.map((row) => row.length));
    const stage = await this.#stageFor(rows.length, longest);
    // Keys and values of other weights are of no use.
    if (!isCurrent(stage.weights)) stage.held = rows.map(() => []);
    const start = rows.map((row, b) => stage.cache.reusable(stage.held[b] as number[], row));
    const fresh = rows.map((row, b) => row.slice(start[b]));
    const most = Math.max(...fresh.map(({ length }) => length));
    const T = most === 1 ? 1 : Math.min(rounded(most, 16), stage.cache.capacity);
    const tokens = NDArray.zeros([rows.length, T], "int32");
    for (const [b, ids] of fresh.entries()) for (const [t, id] of ids.entries()) tokens.data[b * T + t] = id;
    const column = (values: readonly number[]) => NDArray.from(values, "int32", [rows.length, 1]);
    const { logits } = await stage.step({
      tokens,
      start: column(start),
      count: column(fresh.map(({ length }) => length)),
    });
    stage.held = [...rows];
    // After the run, which may have brought the weights to the engine.
    stage.weights = weightsOf(this.model, stage.weights);
    const V = logits.shape[1] as number;
    return rows.map((_, b) => (logits.data as Float32Array).subarray(b * V, (b + 1) * V));
  }

  /** The cache for these sizes; a new one starts empty, and the prompt is read again. */
  async #stageFor(batch: number, length: number): Promise<Stage> {
    const known = this.#stage;
    if (known && known.cache.batch === batch && known.cache.capacity >= length) return known;
    await this.release();
    const { model } = this;
    const capacity = Math.min(rounded(length + 64, 128), Math.max(model.config.context, 1));
    const cache = new VariableCache(batch, capacity);
    const step = compile<StepInputs, { logits: Tensor }>(({ tokens, start, count }) => {
      const last = count.sub(1); // [batch, 1]
      const positions = start.add(arange(tokens.dim(1)).unsqueeze(0)).minimum(capacity - 1);
      return { logits: model.next(tokens, last, { positions, cache: cache.over({ start, count }) }) };
    }, this.options);
    this.#stage = { cache, step, held: Array.from({ length: batch }, () => []), weights: undefined };
    return this.#stage;
  }
}

const isCurrent = (weights: Weights | undefined): boolean =>
  weights !== undefined &&
  weights.revision === structureRevision() &&
  weights.variables.every(({ current }, i) => current === weights.values[i]);

/** `last` spares the walk over a model whose structure is the same. */
function weightsOf(model: GPT, last: Weights | undefined): Weights {
  const revision = structureRevision();
  if (last && isCurrent(last)) return last;
  const variables = last?.revision === revision ? last.variables : [...model.namedVariables().values()];
  return { revision, variables, values: variables.map(({ current }) => current) };
}

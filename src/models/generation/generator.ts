/**
 * Token by token, with a cache of keys and values: one program reads the prompt, the same one with a single token goes
 * on. Prompts are padded to few lengths and the cache grows in few sizes, since every shape is compiled once.
 */
import { type CompileOptions, compile, type Program } from "../../runtime/index.js";
import { arange, fail, NDArray, structureRevision, type Tensor, type Variable } from "../../tensor/index.js";
import type { GPT } from "../gpt.js";
import { type SamplingOptions, sampler } from "./sampling.js";
import { VariableCache } from "./variable-cache.js";

export interface GenerateOptions extends SamplingOptions {
  /** New tokens per row at most (default 128). */
  readonly maxNewTokens?: number;
  /**
   * Whether a row goes on when the context is full: the older half is forgotten then, and the rest is read again
   * (default false: the row ends).
   */
  readonly slide?: boolean;
  /** Tokens that end a row; they are given, too. */
  readonly stopTokens?: readonly number[];
  readonly signal?: AbortSignal;
}

type StepInputs = { readonly tokens: Tensor; readonly start: Tensor; readonly count: Tensor };

interface Stage {
  readonly cache: VariableCache;
  readonly step: Program<StepInputs, { logits: Tensor }>;
  /** The tokens whose keys and values are in the cache, row by row. */
  held: number[][];
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

export class Generator {
  #stage: Stage | undefined;

  constructor(
    readonly model: GPT,
    readonly options: CompileOptions = {},
  ) {}

  /**
   * One array per step: the next token of every row, undefined for rows that have ended. Rows may have prompts of
   * different lengths. What the last call left in the cache is used again where prompts begin alike.
   *
   * Throws for an empty prompt, ids outside the vocabulary, and a prompt that fills the context.
   */
  async *stream(
    prompts: readonly (readonly number[])[],
    options: GenerateOptions = {},
  ): AsyncGenerator<readonly (number | undefined)[]> {
    const { maxNewTokens = 128, slide = false, stopTokens = [], signal } = options;
    this.#check(prompts);
    const { context } = this.model.config;
    const next = sampler(options);
    const rows = prompts.map((prompt) => [...prompt]);
    const ended = rows.map(() => false);
    for (let step = 0; step < maxNewTokens; step++) {
      signal?.throwIfAborted();
      const isOver = (row: readonly number[], b: number) => ended[b] || (!slide && row.length > context);
      if (rows.every(isOver)) return;
      const logits = await this.#logits(rows.map((row) => (slide ? latest(row, context) : row.slice(0, context))));
      const tokens = rows.map((row, b) => {
        if (isOver(row, b)) return undefined;
        const token = next(logits[b] as Float32Array, row, b, step);
        row.push(token);
        if (stopTokens.includes(token)) ended[b] = true;
        return token;
      });
      yield tokens;
      if (ended.every(Boolean)) return;
    }
  }

  /** All new tokens, row by row. */
  async generate(prompts: readonly (readonly number[])[], options: GenerateOptions = {}): Promise<number[][]> {
    const made: number[][] = prompts.map(() => []);
    for await (const tokens of this.stream(prompts, options))
      for (const [b, token] of tokens.entries()) if (token !== undefined) made[b]?.push(token);
    return made;
  }

  async release(): Promise<void> {
    const stage = this.#stage;
    this.#stage = undefined;
    await stage?.step.release();
    stage?.cache.release();
  }

  /** Logits of what follows each row. Feeds what the cache does not hold yet. */
  async #logits(rows: readonly number[][]): Promise<Float32Array[]> {
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

  #check(prompts: readonly (readonly number[])[]): void {
    const { context, vocabulary } = this.model.config;
    if (prompts.length === 0) fail("argument", "generate: expected at least one prompt");
    for (const [b, prompt] of prompts.entries()) {
      if (prompt.length === 0) fail("argument", `generate: prompt ${b} has no token; give at least a start token`);
      if (prompt.length > context)
        fail(
          "argument",
          `generate: prompt ${b} has ${prompt.length} tokens, the model's context is ${context}; shorten the prompt`,
        );
      const wrong = prompt.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabulary);
      if (wrong !== undefined)
        fail(
          "argument",
          `generate: prompt ${b} has token ${wrong}, the model's vocabulary ends at ${vocabulary - 1}; is the tokenizer another model's?`,
        );
    }
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

/** What fits the context, from a start that moves by halves of it, so that the cache serves half a context at a time. */
function latest(row: readonly number[], context: number): number[] {
  const half = Math.max(1, Math.floor(context / 2));
  return row.slice(Math.ceil(Math.max(0, row.length - context) / half) * half);
}

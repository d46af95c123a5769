/** Token by token, from whatever gives logits: sampling, ends, and the window that slides over long texts. */
import type { WeightType } from "../../compile/quantized-weights.js";
import { inTurn } from "../../runtime/execute.js";
import type { CompileOptions } from "../../runtime/index.js";
import { fail } from "../../tensor/index.js";
import { GPT } from "../gpt.js";
import type { Decoder } from "./decoder.js";
import { type SamplingOptions, sampler } from "./sampling.js";
import { VariableDecoder } from "./variable-decoder.js";

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

export interface GeneratorOptions extends CompileOptions {
  /**
   * How weights are read (default "fp32"): "q8" and "q4" keep the matrices of linear layers as 8- or 4-bit integers with
   * a scale for every 32, which is less to read for a token; the model itself stays as it is.
   */
  readonly dtype?: GeneratorType;
}

/** Half precision is not among them: the engine has no float16 products on the CPU, and would widen every weight. */
export const generatorTypes = ["fp32", "q8", "q4"] as const satisfies readonly WeightType[];
export type GeneratorType = (typeof generatorTypes)[number];

export class Generator {
  readonly decoder: Decoder;

  /** A model, or an exported one as `ExportedDecoder`; `options` are for a model: where it runs, how its weights are read. */
  constructor(source: GPT | Decoder, { dtype = "fp32", ...engine }: GeneratorOptions = {}) {
    if (!generatorTypes.includes(dtype))
      fail("argument", `generate: expected dtype to be ${generatorTypes.join(", ")}, got ${dtype}`);
    this.decoder = source instanceof GPT ? new VariableDecoder(source, dtype, engine) : source;
  }

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
    const { context } = this.decoder;
    const next = sampler(options);
    const rows = prompts.map((prompt) => [...prompt]);
    const ended = rows.map(() => false);
    for (let step = 0; step < maxNewTokens; step++) {
      signal?.throwIfAborted();
      const isOver = (row: readonly number[], b: number) => ended[b] || (!slide && row.length > context);
      if (rows.every(isOver)) return;
      const logits = await inTurn(() =>
        this.decoder.logits(rows.map((row) => (slide ? latest(row, context) : row.slice(0, context)))),
      );
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

  /** Gives the session, with its copy of the weights, and the cache back; they are made anew when needed. */
  release(): Promise<void> {
    return inTurn(() => this.decoder.release());
  }

  #check(prompts: readonly (readonly number[])[]): void {
    const { context, vocabulary } = this.decoder;
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

/** What fits the context, from a start that moves by halves of it, so that the cache serves half a context at a time. */
function latest(row: readonly number[], context: number): number[] {
  const half = Math.max(1, Math.floor(context / 2));
  return row.slice(Math.ceil(Math.max(0, row.length - context) / half) * half);
}

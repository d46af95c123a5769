/**
 * How good a language model is: its loss on text, and how often it finds the likeliest of several answers right.
 *
 *   loss            mean −log p(token | tokens before it), nats per token
 *   bits per byte   Σ −log₂ p / bytes of the text: comparable between tokenizers
 *   accuracy        share of questions whose right answer has the largest Σ log p(answer | question);
 *   normalized      the same with Σ log p / bytes of the answer, as longer answers are less likely
 *
 * Source of the two accuracies: the conventions of EleutherAI's evaluation harness, 2021.
 */
import type { Tokenizer } from "../data/tokenizer.js";
import type { GPT } from "../models/index.js";
import { type CompileOptions, compile, type Program } from "../runtime/index.js";
import { crossEntropy, fail, NDArray, noTarget, type Tensor } from "../tensor/index.js";

export interface TextLoss {
  readonly loss: number;
  readonly perplexity: number;
  readonly bitsPerByte: number;
  readonly tokens: number;
  readonly bytes: number;
}

export interface Choice {
  readonly prompt: string;
  readonly choices: readonly string[];
  /** Which of them is right, from 0. */
  readonly answer: number;
}

export interface ChoiceAccuracy {
  readonly accuracy: number;
  readonly normalized: number;
  /** Standard error of `accuracy`, √(p (1 − p) / n). */
  readonly standardError: number;
  readonly questions: number;
}

type ScoreInputs = { readonly tokens: Tensor; readonly targets: Tensor };

/** Scores rows of tokens; its programs are compiled for few lengths. */
export class Evaluator {
  readonly #program: Program<ScoreInputs, { nats: Tensor }>;

  constructor(
    readonly model: GPT,
    readonly tokenizer: Tokenizer,
    options: CompileOptions = {},
  ) {
    this.#program = compile<ScoreInputs, { nats: Tensor }>(
      ({ tokens, targets }) => ({
        nats: crossEntropy(model.apply(tokens), targets, { reduction: "none" }).sum(-1), // [batch]
      }),
      options,
    );
  }

  /**
   * Loss of a text, cut into windows of the model's context; every token but the first is predicted once, from the
   * tokens before it in its window. Throws for a text of fewer than two tokens.
   */
  async textLoss(
    text: string,
    { size = 8, onProgress, signal }: { readonly size?: number } & Watched = {},
  ): Promise<TextLoss> {
    const ids = this.tokenizer.encode(text);
    if (ids.length < 2) fail("argument", "evaluate: expected a text of at least two tokens");
    const { context } = this.model.config;
    const windows: Row[] = [];
    for (let at = 0; at < ids.length - 1; at += context)
      windows.push({ tokens: ids.slice(at, at + context), targets: ids.slice(at + 1, at + context + 1) });
    let nats = 0;
    for (let i = 0; i < windows.length; i += size) {
      signal?.throwIfAborted();
      for (const value of await this.#score(windows.slice(i, i + size))) nats += value;
      onProgress?.(Math.min(1, (i + size) / windows.length));
    }
    const bytes = new TextEncoder().encode(text).length;
    const tokens = ids.length - 1;
    const loss = nats / tokens;
    return { loss, perplexity: Math.exp(loss), bitsPerByte: nats / Math.LN2 / bytes, tokens, bytes };
  }

  /** How often the right answer is the likeliest. Throws where there is no question, or one does not fit the context. */
  async choiceAccuracy(questions: readonly Choice[], { onProgress, signal }: Watched = {}): Promise<ChoiceAccuracy> {
    if (questions.length === 0) fail("argument", "evaluate: expected at least one question");
    let [right, normalized] = [0, 0];
    for (const [n, { prompt, choices, answer }] of questions.entries()) {
      signal?.throwIfAborted();
      const nats = await this.#score(choices.map((choice) => this.#answerRow(prompt, choice, n)));
      const likely = nats.map((value) => -value);
      const perByte = likely.map((value, i) => value / new TextEncoder().encode(choices[i]).length);
      if (largest(likely) === answer) right++;
      if (largest(perByte) === answer) normalized++;
      onProgress?.((n + 1) / questions.length);
    }
    const count = questions.length;
    const accuracy = right / count;
    return {
      accuracy,
      normalized: normalized / count,
      standardError: Math.sqrt((accuracy * (1 - accuracy)) / count),
      questions: count,
    };
  }

  release(): Promise<void> {
    return this.#program.release();
  }

  /** Only the tokens of the answer are scored. */
  #answerRow(prompt: string, choice: string, question: number): Row {
    const before = this.tokenizer.encode(prompt);
    const whole = this.tokenizer.encode(prompt + choice);
    // Where the last token of the prompt grows into the answer, it is scored as a part of it.
    let shared = 0;
    while (shared < before.length && before[shared] === whole[shared]) shared++;
    const first = Math.max(1, Math.min(shared, whole.length - 1));
    const { context } = this.model.config;
    if (whole.length - 1 > context)
      fail("argument", `evaluate: question ${question} has ${whole.length} tokens, the model's context is ${context}`);
    if (whole.length < 2) fail("argument", `evaluate: question ${question} has no token to score; give it a prompt`);
    return {
      tokens: whole.slice(0, -1),
      targets: whole.slice(1).map((id, t) => (t + 1 < first ? noTarget : id)),
    };
  }

  async #score(rows: readonly Row[]): Promise<number[]> {
    const { context, vocabulary } = this.model.config;
    const longest = Math.max(...rows.map(({ tokens }) => tokens.length));
    const T = Math.min(context, 2 ** Math.ceil(Math.log2(Math.max(16, longest))));
    const tokens = NDArray.zeros([rows.length, T], "int32");
    const targets = NDArray.from(new Int32Array(rows.length * T).fill(noTarget), "int32", [rows.length, T]);
    for (const [b, row] of rows.entries())
      for (const [t, id] of row.tokens.entries()) {
        if (id >= vocabulary)
          fail(
            "argument",
            `evaluate: token ${id} is beyond the model's vocabulary of ${vocabulary}: another model's tokenizer`,
          );
        tokens.data[b * T + t] = id;
        targets.data[b * T + t] = row.targets[t] ?? noTarget;
      }
    return (await this.#program({ tokens, targets })).nats.toNumbers();
  }
}

/** Of several texts together. */
export function together(losses: readonly TextLoss[]): TextLoss {
  const sum = (of: (loss: TextLoss) => number) => losses.reduce((total, each) => total + of(each), 0);
  const [tokens, bytes] = [sum((each) => each.tokens), sum((each) => each.bytes)];
  const nats = sum((each) => each.loss * each.tokens);
  const loss = nats / tokens;
  return { loss, perplexity: Math.exp(loss), bitsPerByte: nats / Math.LN2 / bytes, tokens, bytes };
}

interface Watched {
  readonly onProgress?: (done: number) => void;
  readonly signal?: AbortSignal;
}

interface Row {
  readonly tokens: readonly number[];
  readonly targets: readonly number[];
}

const largest = (values: readonly number[]): number => values.indexOf(Math.max(...values));

/** A question from a record: `prompt` (or `question`), `choices`, `answer` (an index, a letter, or the choice itself). */
export function choiceOf(record: Readonly<Record<string, unknown>>, where: string): Choice {
  const prompt = record.prompt ?? record.question;
  const { choices, answer } = record;
  if (typeof prompt !== "string") return fail("file", `${where}: expected "prompt" or "question" as text`);
  if (!Array.isArray(choices) || choices.length < 2 || !choices.every((choice) => typeof choice === "string" && choice))
    return fail("file", `${where}: expected "choices" as a list of at least two texts`);
  const letter = typeof answer === "string" && /^[A-Z]$/.test(answer) ? answer.charCodeAt(0) - 65 : undefined;
  const named = typeof answer === "string" ? choices.indexOf(answer) : -1;
  const index = named >= 0 ? named : (letter ?? answer);
  if (!Number.isInteger(index) || (index as number) < 0 || (index as number) >= choices.length)
    return fail(
      "file",
      `${where}: expected "answer" as an index below ${choices.length}, a letter or one of the choices, got ${JSON.stringify(answer)}`,
    );
  return { prompt, choices, answer: index as number };
}

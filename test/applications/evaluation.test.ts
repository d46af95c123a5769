/** Loss on text and accuracy on questions, against sums made by hand from the model's own probabilities. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { choiceOf, Evaluator, together } from "../../src/applications/evaluation.js";
import { fromPretrained } from "../../src/data/pretrained-files.js";
import { Tokenizer } from "../../src/data/tokenizer-files.js";
import type { GPT } from "../../src/models/index.js";
import { compile } from "../../src/runtime/index.js";
import { NDArray, type Tensor } from "../../src/tensor/index.js";

const folder = new URL("../golden/checkpoints/gpt2", import.meta.url).pathname;
let model: GPT;
let tokenizer: Tokenizer;
let evaluator: Evaluator;
beforeAll(async () => {
  model = await fromPretrained(folder);
  tokenizer = await Tokenizer.open(folder);
  evaluator = new Evaluator(model, tokenizer);
});
afterAll(() => evaluator.release());

/** −log p of every token but the first, and of `last` after them all. */
async function nats(ids: readonly number[], last?: number): Promise<number[]> {
  const program = compile(({ tokens }: { tokens: Tensor }) => ({ logp: model.apply(tokens).logSoftmax(-1) }));
  const { logp } = await program({ tokens: NDArray.from([...ids], "int32", [1, ids.length]) });
  await program.release();
  const V = model.config.vocabulary;
  return [...ids.slice(1), ...(last === undefined ? [] : [last])].map((id, t) => -logp.at(t * V + id));
}
const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);

describe("textLoss", () => {
  it("is the mean over all tokens but the first, window by window", async () => {
    const text = "The gradient of the loss is what every layer sees, and nothing else. ".repeat(3);
    const ids = tokenizer.encode(text);
    const { context } = model.config;
    expect(ids.length).toBeGreaterThan(context);
    let expected = 0;
    for (let at = 0; at < ids.length - 1; at += context) {
      // The last token of a window is predicted in it, and is the first of the next.
      const window = ids.slice(at, at + context);
      expected += sum(await nats(window, ids[at + context]));
    }
    const { loss, perplexity, bitsPerByte, tokens, bytes } = await evaluator.textLoss(text, { size: 2 });
    expect([tokens, bytes]).toEqual([ids.length - 1, text.length]);
    expect(bitsPerByte).toBeCloseTo((loss * tokens) / Math.LN2 / bytes, 10);
    expect(perplexity).toBeCloseTo(Math.exp(loss), 6);
    expect(loss).toBeCloseTo(expected / tokens, 4);
    const short = await evaluator.textLoss("The gradient");
    expect(short.loss).toBeCloseTo(sum(await nats(tokenizer.encode("The gradient"))) / short.tokens, 4);
  });

  it("of several texts is weighted by their tokens", () => {
    const one = { loss: 1, perplexity: Math.E, bitsPerByte: 1, tokens: 10, bytes: 20 };
    expect(together([one, { ...one, loss: 2, tokens: 30 }])).toMatchObject({ loss: 1.75, tokens: 40, bytes: 40 });
  });

  it("needs two tokens", async () => {
    await expect(evaluator.textLoss("")).rejects.toThrow("a text of at least two tokens");
  });
});

describe("choiceAccuracy", () => {
  it("takes the answer with the largest likelihood, whole and per byte", async () => {
    const prompt = "The loss";
    const choices = [" of", " is everything that we see", " x"];
    const scores = await Promise.all(
      choices.map(async (choice) => {
        const all = await nats(tokenizer.encode(prompt + choice));
        return -sum(all.slice(tokenizer.encode(prompt).length - 1));
      }),
    );
    const best = scores.indexOf(Math.max(...scores));
    const perByte = scores.map((score, i) => score / (choices[i] as string).length);
    const bestPerByte = perByte.indexOf(Math.max(...perByte));
    for (const answer of choices.keys())
      expect(await evaluator.choiceAccuracy([{ prompt, choices, answer }])).toEqual({
        accuracy: Number(answer === best),
        normalized: Number(answer === bestPerByte),
        standardError: 0,
        questions: 1,
      });
  });

  it("refuses a question beyond the context, and none at all", async () => {
    await expect(evaluator.choiceAccuracy([])).rejects.toThrow("at least one question");
    const long = { prompt: "word ".repeat(200), choices: ["a", "b"], answer: 0 };
    await expect(evaluator.choiceAccuracy([long])).rejects.toThrow(/question 0 has \d+ tokens, the model's context is/);
  });
});

describe("questions", () => {
  it.each([
    [{ prompt: "p", choices: ["a", "b"], answer: 1 }, 1],
    [{ question: "p", choices: ["a", "b"], answer: "B" }, 1],
    [{ prompt: "p", choices: ["yes", "no"], answer: "no" }, 1],
    [{ prompt: "p", choices: ["B", "A"], answer: "A" }, 1],
  ])("%j", (record, answer) => {
    expect(choiceOf(record, "line 1").answer).toBe(answer);
  });

  it.each([
    [{ choices: ["a", "b"], answer: 0 }, 'questions.jsonl, line 3: expected "prompt" or "question" as text'],
    [{ prompt: "p", choices: ["a"], answer: 0 }, "at least two texts"],
    [
      { prompt: "p", choices: ["a", "b"], answer: 2 },
      'expected "answer" as an index below 2, a letter or one of the choices, got 2',
    ],
    [{ prompt: "p", choices: ["a", "b"] }, "got undefined"],
  ])("%j is refused", (record, message) => {
    expect(() => choiceOf(record, "questions.jsonl, line 3")).toThrow(message);
  });
});

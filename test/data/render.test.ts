import { describe, expect, test } from "vitest";
import { encodeParts } from "../../src/data/encode.js";
import type { DataRecord } from "../../src/data/records.js";
import { type RenderOptions, renderRecord } from "../../src/data/render.js";
import type { ChatTemplate } from "../../src/data/text-tokenizer.js";
import { chatTemplate, wordTokenizer } from "../support/word-tokenizer.js";

/** The sample as text, what is learned in brackets. */
function shown(record: DataRecord, options: RenderOptions = {}, tokenizer = wordTokenizer()): string {
  const { tokens, learned } = encodeParts(
    renderRecord(record, "r.jsonl, line 1", { template: chatTemplate, ...options }),
    tokenizer,
  );
  return tokenizer
    .words(tokens)
    .map((word, i) => (learned[i] ? `[${word}]` : word))
    .join("")
    .replaceAll("][", "");
}

const chat = [
  { role: "system", content: "Be kind." },
  { role: "user", content: "Hi" },
  { role: "assistant", content: "Hello you" },
  { role: "user", content: "Bye" },
  { role: "assistant", content: "So long" },
];
const start = "<|start|>";
const end = "<|end|>";

describe("what is learned", () => {
  test.each<[string, DataRecord, RenderOptions, string]>([
    ["all of a text, and its end", { text: "one two" }, {}, "[one two</s>]"],
    ["a text by another name", { body: "one" }, { field: "body" }, "[one</s>]"],
    ["a completion", { prompt: "Two and two", completion: " is four" }, {}, "Two and two[ is four</s>]"],
    ["a prompt too, if asked", { prompt: "Ask", completion: " get" }, { trainOnInputs: true }, "[Ask get</s>]"],
    ["a token over the seam, with the completion", { prompt: "Answer: ", completion: "yes" }, {}, "Answer:[ yes</s>]"],
    ["an empty completion: that it ends", { prompt: "Say nothing", completion: "" }, {}, "Say nothing[</s>]"],
    ["a completion without a prompt", { prompt: "", completion: "yes" }, {}, "[yes</s>]"],
    ["an end that is written out, once", { prompt: "a", completion: " b</s>" }, {}, "a[ b</s>]"],
    [
      "Alpaca's output",
      { instruction: "Add.", input: "1 2", output: "3" },
      {},
      "Below is an instruction that describes a task, paired with an input that provides further context. Write a " +
        "response that appropriately completes the request.\n\n### Instruction:\nAdd.\n\n### Input:\n1 2\n\n### Response:\n[3</s>]",
    ],
    [
      "Alpaca's output without an input",
      { instruction: "Add.", input: "", output: "3" },
      {},
      "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n" +
        "### Instruction:\nAdd.\n\n### Response:\n[3</s>]",
    ],
    [
      "the assistant's turns with the token that ends them",
      { messages: chat },
      {},
      `${start}system\nBe kind.${end}\n${start}user\nHi${end}\n${start}assistant\n[Hello you${end}]\n` +
        `${start}user\nBye${end}\n${start}assistant\n[So long${end}]\n`,
    ],
    [
      "ShareGPT's, too",
      {
        conversations: [
          { from: "human", value: "Hi" },
          { from: "gpt", value: "Hello" },
        ],
      },
      {},
      `${start}user\nHi${end}\n${start}assistant\n[Hello${end}]\n`,
    ],
    [
      "messages by other names",
      {
        talk: [
          { who: "user", said: "Hi" },
          { who: "assistant", said: "Ho" },
        ],
      },
      { messagesField: "talk", roleField: "who", contentField: "said" },
      `${start}user\nHi${end}\n${start}assistant\n[Ho${end}]\n`,
    ],
    [
      "two turns in a row, each",
      {
        messages: [
          { role: "user", content: "a" },
          { role: "assistant", content: "b" },
          { role: "assistant", content: "c" },
        ],
      },
      {},
      `${start}user\na${end}\n${start}assistant\n[b${end}]\n${start}assistant\n[c${end}]\n`,
    ],
    [
      "a whole chat, if asked",
      {
        messages: [
          { role: "user", content: "a" },
          { role: "assistant", content: "b" },
        ],
      },
      { trainOnInputs: true },
      `[${start}user\na${end}\n${start}assistant\nb${end}\n]`,
    ],
    [
      "what the kind says, whatever else is there",
      { text: "x", prompt: "a", completion: "b" },
      { kind: "text" },
      "[x</s>]",
    ],
  ])("%s", (_, record, options, expected) => {
    expect(shown(record, options)).toBe(expected);
  });

  test("the token that begins a text, where the tokenizer adds one; never in a chat", () => {
    const tokenizer = wordTokenizer({ bos: true });
    expect(shown({ text: "a" }, {}, tokenizer)).toBe("[<s>a</s>]");
    expect(shown({ prompt: "a", completion: " b" }, {}, tokenizer)).toBe("<s>a[ b</s>]");
    expect(shown({ messages: chat.slice(1, 3) }, {}, tokenizer)).not.toContain("<s>");
  });
});

describe("templates", () => {
  const messages = chat.slice(1);
  test("may open a block in the prompt that the answer does not have", () => {
    const thinking: ChatTemplate = (some, options) =>
      chatTemplate(some, options) + (options?.addGenerationPrompt ? "<think>\n" : "");
    expect(shown({ messages }, { template: thinking })).toBe(shown({ messages }));
  });

  test.each<[string, ChatTemplate, RegExp]>([
    [
      "that drop what was said before",
      (some, options) => chatTemplate(some.slice(-2), options),
      /line 1: the chat template writes the conversation up to \w+ message 2 differently/,
    ],
    [
      "that end only the last turn",
      (some, options) => `${chatTemplate(some, options)}</s>`,
      /up to after message 2 differently/,
    ],
    [
      "that count",
      (some, options) => `${some.length}: ${chatTemplate(some, options)}`,
      /differently when more messages follow/,
    ],
    [
      "that refuse",
      () => {
        throw new Error("roles must alternate");
      },
      /line 1: the chat template refuses a conversation of 4 messages \(roles must alternate\)/,
    ],
  ])("%s are refused", (_, template, message) => {
    expect(() => shown({ messages }, { template })).toThrow(message);
  });

  test("that do not only append are fine when everything is learned", () => {
    const template: ChatTemplate = (some) => `${some.length}`;
    expect(shown({ messages }, { template, trainOnInputs: true })).toBe("[4]");
  });
});

describe("records that say nothing are refused with their place", () => {
  test.each<[string, DataRecord, RenderOptions, string]>([
    [
      "no known field",
      { title: "x" },
      {},
      "line 1: expected text, prompt and completion, instruction and output, messages or conversations; got title",
    ],
    ["a text that is a number", { text: 3 }, {}, 'line 1: expected text in "text", got number'],
    ["a completion that is null", { prompt: "a", completion: null }, { kind: "prompt" }, '"completion", got null'],
    ["a field of the prototype", {}, { kind: "text", field: "constructor" }, '"constructor", got nothing'],
    ["messages that are text", { messages: "hi" }, {}, 'expected a list of messages in "messages"'],
    ["no messages", { messages: [] }, {}, 'expected a list of messages in "messages"'],
    ["a message that is text", { messages: ["hi"] }, {}, "message 1: expected an object with role and content"],
    ["content in parts", { messages: [{ role: "user", content: [{ type: "text" }] }] }, {}, '"content", got a list'],
    ["a role ShareGPT does not have", { conversations: [{ from: "bot", value: "x" }] }, {}, 'message 1: from is "bot"'],
    ["nobody's answer", { messages: [{ role: "user", content: "x" }] }, {}, "no message of the assistant"],
  ])("%s", (_, record, options, message) => {
    expect(() => shown(record, options)).toThrow(message);
    expect(() => shown(record, options)).toThrow(expect.objectContaining({ code: "file" }));
  });

  test("a chat without a template", () => {
    expect(() => renderRecord({ messages: chat }, "r.jsonl, line 1")).toThrow("a chat needs a chat template");
  });
});

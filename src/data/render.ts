/**
 * What a record says, as text in parts: those the model is to learn, and those it only reads.
 */
import { fail } from "../tensor/errors.js";
import type { DataRecord } from "./records.js";
import { conversation, messagesOf, renderChat, textField } from "./render-chat.js";
import type { ChatTemplate } from "./text-tokenizer.js";

/** A stretch of text; `learned` where the loss counts its tokens. */
export interface TextPart {
  readonly text: string;
  readonly learned: boolean;
}

export interface RenderedText {
  readonly parts: readonly TextPart[];
  /** Whether the tokenizer's own begin and end go around it; a chat template writes its own. */
  readonly framed: boolean;
  /** A running text, which may be cut anywhere. */
  readonly running: boolean;
}

/**
 *   text          { text }
 *   prompt        { prompt, completion }
 *   alpaca        { instruction, input?, output }
 *   chat          { messages: [{ role, content }] }, or ShareGPT's { conversations: [{ from, value }] }
 */
export type RecordKind = "text" | "prompt" | "alpaca" | "chat";

export interface RenderOptions {
  /** Default: told by each record's fields. */
  readonly kind?: RecordKind;
  /** Where the text of kind "text" is (default "text"). */
  readonly field?: string;
  /** Where a chat's messages are (default "messages", or "conversations"). */
  readonly messagesField?: string;
  /** What a message calls its role and content (default role and content, or from and value). */
  readonly roleField?: string;
  readonly contentField?: string;
  /** Needed for chats. */
  readonly template?: ChatTemplate;
  /** Learn prompts and the other side's turns too (axolotl: train_on_inputs). Default false. */
  readonly trainOnInputs?: boolean;
}

/**
 * Alpaca's prompts. Source: "Stanford Alpaca: An Instruction-following LLaMA Model", 2023.
 */
const alpacaPrompt = (instruction: string, input: string): string =>
  input
    ? "Below is an instruction that describes a task, paired with an input that provides further context. Write a " +
      `response that appropriately completes the request.\n\n### Instruction:\n${instruction}\n\n### Input:\n${input}\n\n### Response:\n`
    : "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n" +
      `### Instruction:\n${instruction}\n\n### Response:\n`;

/**
 * The parts of a record. In a prompt's record only the completion is learned, in a chat only the assistant's turns.
 *
 * @throws LayerwiseError "file" naming `place` where a field is missing or not text, or a chat's template rewrites
 * earlier turns; "argument" for a chat without a template.
 */
export function renderRecord(record: DataRecord, place: string, options: RenderOptions = {}): RenderedText {
  const { field = "text", trainOnInputs = false, template } = options;
  const text = (name: string): string => textField(record, name, place);
  const answered = (prompt: string, answer: string): RenderedText => ({
    parts: [
      { text: prompt, learned: trainOnInputs },
      { text: answer, learned: true },
    ],
    framed: true,
    running: false,
  });
  switch (options.kind ?? kindOf(record, place, options)) {
    case "text":
      return { parts: [{ text: text(field), learned: true }], framed: true, running: true };
    case "prompt":
      return answered(text("prompt"), text("completion"));
    case "alpaca":
      return answered(alpacaPrompt(text("instruction"), isGiven(record, "input") ? text("input") : ""), text("output"));
    case "chat": {
      if (!template) return fail("argument", `${place}: a chat needs a chat template; give the tokenizer's`);
      const messages = messagesOf(record, place, options);
      const parts = trainOnInputs
        ? [{ text: conversation(messages, template, place), learned: true }]
        : renderChat(messages, template, place);
      return { parts, framed: false, running: false };
    }
  }
}

const isGiven = (record: DataRecord, name: string): boolean =>
  Object.hasOwn(record, name) && record[name] !== null && record[name] !== undefined;

function kindOf(record: DataRecord, place: string, { field = "text", messagesField }: RenderOptions): RecordKind {
  const has = (...names: string[]): boolean => names.every((name) => isGiven(record, name));
  if (messagesField === undefined ? has("messages") || has("conversations") : has(messagesField)) return "chat";
  if (has("prompt", "completion")) return "prompt";
  if (has("instruction", "output")) return "alpaca";
  if (has(field)) return "text";
  return fail(
    "file",
    `${place}: expected ${field}, prompt and completion, instruction and output, messages or conversations; ` +
      `got ${Object.keys(record).slice(0, 20).join(", ") || "no fields"}`,
  );
}

import { fail } from "../tensor/errors.js";
import type { DataRecord } from "./records.js";
import type { RenderOptions, TextPart } from "./render.js";
import type { ChatMessage, ChatTemplate } from "./text-tokenizer.js";

/** ShareGPT's names for who speaks. */
const shareGptRoles: Readonly<Record<string, string>> = {
  human: "user",
  user: "user",
  gpt: "assistant",
  chatgpt: "assistant",
  assistant: "assistant",
  system: "system",
  tool: "tool",
};

/** The messages of a record, with the roles that templates know. Throws "file" naming the place and the message. */
export function messagesOf(record: DataRecord, place: string, options: RenderOptions): ChatMessage[] {
  const field = options.messagesField ?? (Object.hasOwn(record, "messages") ? "messages" : "conversations");
  const list = Object.hasOwn(record, field) ? record[field] : undefined;
  if (!Array.isArray(list) || list.length === 0)
    return fail("file", `${place}: expected a list of messages in "${field}"`);
  return list.map((message: unknown, i) => {
    const where = `${place}, message ${i + 1}`;
    if (typeof message !== "object" || message === null || Array.isArray(message))
      return fail("file", `${where}: expected an object with role and content`);
    const fields = message as DataRecord;
    const shared = Object.hasOwn(fields, "from") && !Object.hasOwn(fields, "role");
    const role = textField(fields, options.roleField ?? (shared ? "from" : "role"), where);
    const content = textField(fields, options.contentField ?? (shared ? "value" : "content"), where);
    if (!shared) return { role, content };
    if (!Object.hasOwn(shareGptRoles, role))
      fail("file", `${where}: from is "${role}"; expected one of ${Object.keys(shareGptRoles).join(", ")}`);
    return { role: shareGptRoles[role] as string, content };
  });
}

/**
 * A conversation's text, its assistant turns learned: from where the generation prompt ends to the token that ends the
 * turn, found by rendering the conversation up to before and after each of them.
 *
 * @throws LayerwiseError "file" where a longer conversation does not begin with the text of a shorter one (some
 * templates drop the reasoning of earlier turns), or without an assistant turn.
 */
export function renderChat(messages: readonly ChatMessage[], template: ChatTemplate, place: string): TextPart[] {
  const render = (count: number, addGenerationPrompt = false): string =>
    conversation(messages.slice(0, count), template, place, addGenerationPrompt);
  const whole = render(messages.length);
  const parts: TextPart[] = [];
  let done = 0;
  messages.forEach(({ role }, i) => {
    if (role !== "assistant") return;
    const opened = i === 0 ? "" : render(i, true);
    const closed = i + 1 === messages.length ? whole : render(i + 1);
    if (!whole.startsWith(closed)) refuse(place, i, "after");
    const start = common(opened, whole);
    // The header of the turn may differ in what it opens (such as a thinking block), never in the turns before.
    const before = start === opened.length ? "" : render(i);
    if (start < Math.max(done, before.length) || !whole.startsWith(before)) refuse(place, i, "before");
    // Blanks behind the token that ends the turn are the template's, not the answer's.
    const end = Math.max(start, closed.trimEnd().length);
    parts.push({ text: whole.slice(done, start), learned: false }, { text: whole.slice(start, end), learned: true });
    done = end;
  });
  if (parts.length === 0) fail("file", `${place}: no message of the assistant, so nothing to learn`);
  return [...parts, { text: whole.slice(done), learned: false }].filter(({ text }) => text !== "");
}

/** The template's text for some messages. Throws "file" naming the place where the template refuses them. */
export function conversation(
  messages: readonly ChatMessage[],
  template: ChatTemplate,
  place: string,
  addGenerationPrompt = false,
): string {
  try {
    return template(messages, { addGenerationPrompt });
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    const some = `a conversation of ${messages.length} messages`;
    return fail("file", `${place}: the chat template refuses ${some} (${problem})`, { cause: error });
  }
}

const refuse = (place: string, i: number, side: string): never =>
  fail(
    "file",
    `${place}: the chat template writes the conversation up to ${side} message ${i + 1} differently when more messages ` +
      "follow, so its turns cannot be told apart; use a template that only appends, or trainOnInputs",
  );

/** Characters that two texts share at their start. */
function common(a: string, b: string): number {
  let n = 0;
  while (n < a.length && a[n] === b[n]) n++;
  return n;
}

/** A field that must be text. Throws "file" naming the place. */
export function textField(record: DataRecord, name: string, place: string): string {
  const value = Object.hasOwn(record, name) ? record[name] : undefined;
  if (typeof value === "string") return value;
  const got =
    value === undefined ? "nothing" : value === null ? "null" : Array.isArray(value) ? "a list" : typeof value;
  return fail("file", `${place}: expected text in "${name}", got ${got}`);
}

import { fail, LayerwiseError } from "../tensor/errors.js";
import { BoundedInterpreter } from "./bounded-interpreter.js";
import { Environment, type JinjaNode, parse, tokenize } from "./jinja.js";
import type { Tokenizer } from "./tokenizer.js";
import { contentOf } from "./tokenizer-file.js";

/** A message as chat templates expect it; `content` is text or a list of parts, and templates may look for more keys. */
export interface ChatMessage {
  readonly role: string;
  readonly content?: unknown;
  readonly [key: string]: unknown;
}

export interface ChatOptions {
  /** Ends with the words that begin an answer. Default false. */
  addGenerationPrompt?: boolean;
  /** Functions the model may call, as JSON schemas. */
  tools?: readonly object[];
  /** More variables that a template knows: `enable_thinking`, `date_string`, `documents`, … */
  variables?: Readonly<Record<string, unknown>>;
}

export type ChatTemplate = (messages: readonly ChatMessage[], options?: ChatOptions) => string;

/** A template's text, or several by name (as tokenizer_config.json lists them); "tool_use" is used when there are tools. */
export type ChatTemplateSource = string | readonly { readonly name: string; readonly template: string }[];

const maxCharacters = 1 << 18;
/** The parser looks back over runs of spaces again and again. */
const maxSpaces = 1024;

/**
 * A Jinja chat template as a function from messages to the text a model was trained on.
 *
 *   const chat = chatTemplate(config.chat_template, { bos_token: "<s>", eos_token: "</s>" });
 *   const ids = tokenizer.encode(chat([{ role: "user", content: "Hi" }], { addGenerationPrompt: true }), { specials: false });
 *
 * Templates may come from anywhere: they are interpreted without evaluating JavaScript, within limits on steps, depth
 * and size, and see their own variables only.
 *
 * @param specials Values of `bos_token`, `eos_token`, …: text, or objects with `content`; other keys are left out, so a
 * whole tokenizer_config.json may be given.
 * @throws LayerwiseError "file" for a template that cannot be read, fails or exceeds a limit; the function throws
 * "argument" with the template's own words when it refuses the messages, and for messages that are not plain data.
 */
export function chatTemplate(
  source: ChatTemplateSource,
  specials: Readonly<Record<string, unknown>> = {},
  name = "chat template",
): ChatTemplate {
  const templates = parseAll(source, name);
  const tokens = Object.entries(specials).flatMap(([key, value]) => {
    const content = key.endsWith("_token") ? contentOf(value) : undefined;
    return content === undefined ? [] : [[key, content] as const];
  });
  return (messages, { addGenerationPrompt = false, tools, variables = {} } = {}) => {
    const { program, steps } = templates(tools !== undefined);
    checkPlain(messages, "messages", 0);
    checkPlain(tools, "tools", 0);
    checkPlain(variables, "variables", 0);
    const environment = new Environment();
    const interpreter = new BoundedInterpreter(environment, name, steps);
    const values = new Map<string, unknown>([
      ...constants,
      ["range", (start: number, stop?: number, step?: number) => interpreter.range(start, stop, step)],
      ["raise_exception", raise],
      ["strftime_now", (format: string) => strftime(new Date(), format)],
      ...tokens,
      ...Object.entries(variables),
      ["messages", messages],
      ["tools", tools ?? null],
      ["add_generation_prompt", addGenerationPrompt],
    ]);
    return guard(name, () => {
      for (const [key, value] of values) environment.set(key, value);
      return String(interpreter.run(program).value);
    });
  };
}

/**
 * The chat template that comes with a tokenizer, with its special tokens.
 *
 * @throws LayerwiseError "file" when the model has none, and as `chatTemplate`.
 */
export function chatTemplateOf({ config, specialTokens }: Tokenizer, name = "tokenizer_config.json"): ChatTemplate {
  if (config.chat_template === undefined || config.chat_template === null)
    fail("file", `${name}: there is no chat_template; was the model trained on chats? Give a template to chatTemplate`);
  return chatTemplate(config.chat_template as ChatTemplateSource, specialTokens, `${name}: chat_template`);
}

interface Parsed {
  readonly program: JinjaNode;
  /** What a macro's declaration counts as. */
  readonly steps: number;
}

function parseAll(source: ChatTemplateSource, name: string): (withTools: boolean) => Parsed {
  if (typeof source === "string") {
    const only = parseOne(source, name);
    return () => only;
  }
  if (!Array.isArray(source)) return fail("file", `${name}: expected a template's text or a list of them`);
  const named = new Map<string, Parsed>();
  for (const { name: key, template } of source as Exclude<ChatTemplateSource, string>)
    named.set(String(key), parseOne(template, `${name}: ${key}`));
  const usual = named.get("default") ?? named.values().next().value;
  if (!usual) return fail("file", `${name}: the list of templates is empty`);
  return (withTools) => (withTools && named.get("tool_use")) || usual;
}

function parseOne(template: unknown, name: string): Parsed {
  if (typeof template !== "string") return fail("file", `${name}: expected a template's text, got ${typeof template}`);
  if (template.length > maxCharacters)
    fail("file", `${name}: ${template.length} characters; expected at most ${maxCharacters}`);
  if (new RegExp(`\\s{${maxSpaces}}`).test(template)) fail("file", `${name}: ${maxSpaces} spaces in a row; refused`);
  // As transformers renders: the line feed after a tag and the spaces before one are not text.
  const program = guard(name, () => parse(tokenize(template, { lstrip_blocks: true, trim_blocks: true })));
  return { program, steps: 1 + template.length / 16 };
}

const constants: readonly (readonly [string, unknown])[] = [
  ...(["true", "True"] as const).map((key) => [key, true] as const),
  ...(["false", "False"] as const).map((key) => [key, false] as const),
  ...(["none", "None"] as const).map((key) => [key, null] as const),
];

function raise(message: unknown): never {
  return fail("argument", `the chat template refuses these messages: ${String(message).slice(0, 1000)}`);
}

/** What the interpreter throws (syntax, types, a full stack) as an error that names the template. */
function guard<T>(name: string, act: () => T): T {
  try {
    return act();
  } catch (cause) {
    if (cause instanceof LayerwiseError) throw cause;
    return fail("file", `${name}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

const maxDepth = 64;

/** A function would become callable from the template, and a circle has no end. */
function checkPlain(value: unknown, path: string, depth: number): void {
  if (depth > maxDepth) fail("argument", `${path}: nested deeper than ${maxDepth} levels`);
  if (typeof value === "function" || typeof value === "symbol" || typeof value === "bigint")
    fail("argument", `${path}: expected plain data, got a ${typeof value}`);
  if (typeof value !== "object" || value === null) return;
  for (const [key, part] of Object.entries(value)) checkPlain(part, `${path}.${key.slice(0, 40)}`, depth + 1);
}

const months = "January February March April May June July August September October November December".split(" ");
const two = (n: number): string => String(n).padStart(2, "0");

/** Python's strftime in English, local time, for the fields that templates use. */
function strftime(date: Date, format: string): string {
  const month = months[date.getMonth()] as string;
  const fields: Readonly<Record<string, string>> = {
    Y: String(date.getFullYear()),
    m: two(date.getMonth() + 1),
    d: two(date.getDate()),
    b: month.slice(0, 3),
    B: month,
    H: two(date.getHours()),
    M: two(date.getMinutes()),
    S: two(date.getSeconds()),
    "%": "%",
  };
  return String(format).replace(/%([YmdbBHMS%])/g, (_, field: string) => fields[field] as string);
}

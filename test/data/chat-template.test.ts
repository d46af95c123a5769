import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { type ChatMessage, type ChatTemplate, chatTemplate } from "../../src/data/chat-template.js";

interface Case {
  readonly template: string;
  readonly variables: {
    readonly messages: ChatMessage[];
    readonly tools: object[] | null;
    readonly add_generation_prompt: boolean;
    readonly [key: string]: unknown;
  };
  readonly text?: string;
  readonly error?: string;
}

const read = (name: string): string =>
  readFileSync(new URL(`../golden/chat-templates/${name}`, import.meta.url), "utf8");
const cases = JSON.parse(read("expected.json")) as Case[];
const user = (content: unknown): ChatMessage => ({ role: "user", content });

describe("real templates give what Jinja gives", () => {
  test.each(cases.map((one, i) => [`${one.template}, case ${i}`, one] as const))("%s", (_, one) => {
    const { messages, tools, add_generation_prompt, ...rest } = one.variables;
    const chat = chatTemplate(read(`${one.template}.jinja`), rest, one.template);
    const render = (): string =>
      chat(messages, {
        addGenerationPrompt: add_generation_prompt,
        ...(tools && { tools }),
        variables: Object.fromEntries(Object.entries(rest).filter(([key]) => !key.endsWith("_token"))),
      });
    if (one.error === undefined) expect(render()).toBe(one.text);
    else expect(render).toThrow(one.error);
  });

  test("of all models named", () => {
    expect([...new Set(cases.map(({ template }) => template))]).toEqual(
      expect.arrayContaining(["chatml", "gemma-2", "llama-3", "mistral", "qwen2.5"]),
    );
  });
});

describe("variables", () => {
  test("special tokens may be given as tokenizer_config.json has them; other keys do not get in", () => {
    const config = {
      bos_token: { content: "<s>", lstrip: false },
      eos_token: "</s>",
      model_max_length: 9,
      pad_token: null,
    };
    expect(chatTemplate("{{ bos_token }}{{ eos_token }}{{ pad_token }}{{ model_max_length }}", config)([])).toBe(
      "<s></s>",
    );
  });

  test("more of them, for templates that know them", () => {
    const chat = chatTemplate("{{ enable_thinking is defined }}{% if enable_thinking %}think{% endif %}");
    expect(chat([], { variables: { enable_thinking: true } })).toContain("think");
    expect(chat([])).not.toContain("think");
  });

  test("the date, in English", () => {
    expect(chatTemplate("{{ strftime_now('%d %b %Y %%') }}")([])).toMatch(/^\d\d [A-Z][a-z][a-z] \d{4} %$/);
  });

  test("of several templates, tool_use is for tools", () => {
    const chat = chatTemplate([
      { name: "default", template: "plain" },
      { name: "tool_use", template: "{{ tools | length }} tools" },
    ]);
    expect([chat([]), chat([], { tools: [{}, {}] })]).toEqual(["plain", "2 tools"]);
  });

  test("a rendering leaves nothing behind for the next", () => {
    const chat = chatTemplate("{{ x is defined }}{% set x = 1 %}");
    expect(chat([])).toBe(chat([]));
  });

  test("a long conversation stays within the limits", () => {
    const messages = Array.from({ length: 2000 }, (_, i) => ({
      role: i % 2 ? "assistant" : "user",
      content: `message ${i} `.repeat(50),
    }));
    for (const name of ["chatml", "llama-3", "mistral", "gemma-2", "qwen2.5"])
      expect(chatTemplate(read(`${name}.jinja`), { bos_token: "", eos_token: "" })(messages).length).toBeGreaterThan(
        1e6,
      );
  });
});

describe("hostile templates end with an error", () => {
  const nested = (depth: number): string =>
    `${"{% for i in range(9999) %}".repeat(depth)}x${"{% endfor %}".repeat(depth)}`;
  const doubled = (start: string, times: number, end: string): string =>
    `{% set a = ${start} %}${"{% set a = a + a %}".repeat(times)}${end}`;
  const boxed = (times: number, end: string): string =>
    `{% set a = [1] %}${"{% set a = [a, a] %}".repeat(times)}${end}`;
  const long = doubled('"abcdefgh"', 18, "");

  test.each<[string, string, RegExp]>([
    ["a range without end", "{% for i in range(10**9) %}{% endfor %}", /range of 1000000000 numbers/],
    ["a range that goes nowhere", "{{ range(0, 10, 0) }}", /range of Infinity numbers/],
    ["a range of what is no number", "{{ range('x') }}", /range of NaN numbers/],
    ["loops in loops", nested(4), /more than \d+ steps/],
    ["empty loops in loops", nested(4).replace("x", ""), /more than \d+ steps/],
    ["a macro that calls itself", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", /does a macro call itself/],
    [
      "a macro that calls itself twice",
      "{% macro m(n) %}{% if n %}{{ m(n-1) }}{{ m(n-1) }}{% endif %}{% endmacro %}{{ m(60) }}",
      /steps/,
    ],
    ["a text that doubles", doubled('"ab"', 40, "{{ a }}"), /a value of more than/],
    ["a list that doubles", doubled("[1, 2]", 40, ""), /more than/],
    ["a list of itself twice, printed", boxed(60, "{{ a }}"), /a value of more than/],
    ["a list of itself twice, as JSON", boxed(60, "{{ a | tojson }}"), /a value of more than/],
    ["replacing letters by long texts", `${long}{{ a.replace("a", a) }}`, /could make/],
    ["the same by a filter", `${long}{{ a | replace("a", a) }}`, /could make/],
    ["the same under another name", `${long}{% set r = a["replace"] %}{{ r("a", a) }}`, /could make/],
    ["joining by a long text", `${long}{{ a | join(a) }}`, /could make/],
    ["a deep indent", `${long}{{ a | indent(1000000) }}`, /could make/],
    ["JSON with a deep indent", "{{ [[1]] | tojson(indent=1000000000) }}", /could make/],
    [
      "searching again and again",
      `${long}${"{% for i in range(9999) %}".repeat(2)}{% if "zz" in a %}{% endif %}${"{% endfor %}".repeat(2)}`,
      /steps/,
    ],
    [
      "sorting again and again",
      "{% set a = range(99999) %}{% for i in a %}{% set b = a | sort %}{% endfor %}",
      /steps/,
    ],
    [
      "macros declared again and again",
      `{% for i in range(99999) %}{% macro m() %}${"x{{ 1 }}".repeat(2000)}{% endmacro %}{% endfor %}`,
      /steps/,
    ],
    ["a namespace in itself", "{% set n = namespace() %}{% set n.a = n %}{{ n }}", /namespace inside/],
    ["a namespace in a list", "{% set n = namespace() %}{% set a = [n] %}{{ a }}", /namespace inside/],
    ["endless brackets", `{{ ${"(".repeat(60_000)}1${")".repeat(60_000)} }}`, /chat template: /],
    ["deep brackets", `{{ ${"[".repeat(600)}1${"]".repeat(600)} }}`, /nested deeper/],
    ["a tag that does not end", "{% if x", /chat template: /],
    ["an unknown tag", "{% import os %}", /chat template: /],
    ["an unknown filter", "{{ 'a' | attr('b') }}", /Unknown StringValue filter/],
    ["a break outside a loop", "{% break %}", /chat template: /],
    ["more characters than a template has", "x".repeat(300_000), /300000 characters; expected at most/],
    ["a desert of spaces", " ".repeat(200_000), /spaces in a row/],
  ])("%s", (_, template, message) => {
    let caught: unknown;
    try {
      chatTemplate(template)([user("hi")]);
    } catch (error) {
      caught = error;
    }
    expect(caught).toMatchObject({ name: "LayerwiseError", code: "file", message: expect.stringMatching(message) });
  });

  test("nothing but a template's own values can be reached", () => {
    const reach = ["constructor", "__proto__", "prototype", "toString", "valueOf", "hasOwnProperty"];
    for (const name of reach)
      for (const value of ["messages", "messages[0]", "'text'", "range", "1", "namespace()", "loop", "true"])
        expect(
          chatTemplate(`{{ ${value}.${name} is defined }}{{ ${value}["${name}"] is defined }}`)([user("hi")]),
        ).toBe("falsefalse");
    expect(chatTemplate("{{ constructor }}{{ __proto__ }}{{ globalThis }}{{ process }}{{ self }}")([])).toBe("");
  });

  test("a message's own __proto__ is a key like any other", () => {
    const message = JSON.parse('{"role": "user", "__proto__": {"content": "inner"}}') as ChatMessage;
    expect(chatTemplate("{{ messages[0].content }}{{ messages[0].__proto__.content }}")([message])).toBe("inner");
  });
});

describe("refuses", () => {
  test("what the template refuses, in its words", () => {
    const chat = chatTemplate("{{ raise_exception('roles must alternate') }}");
    expect(() => chat([])).toThrow("the chat template refuses these messages: roles must alternate");
    expect(() => chat([])).toThrow(expect.objectContaining({ code: "argument" }));
  });

  const circle: Record<string, unknown> = { role: "user" };
  circle.content = circle;
  test.each<[string, Parameters<ChatTemplate>, string]>([
    ["a function among the messages", [[user(() => 1)]], "messages.0.content: expected plain data, got a function"],
    ["messages that contain themselves", [[circle as ChatMessage]], "nested deeper than 64"],
    ["a bigint", [[], { variables: { n: 1n } }], "variables.n: expected plain data, got a bigint"],
    ["tools that are functions", [[], { tools: [(() => 1) as object] }], "tools.0: expected plain data"],
  ])("%s", (_, args, message) => {
    expect(() => chatTemplate("x")(...args)).toThrow(message);
  });

  test.each<[string, unknown, string]>([
    ["a number", 5, "expected a template's text or a list"],
    ["an empty list", [], "the list of templates is empty"],
    [
      "a list without texts",
      [{ name: "default" }],
      "chat template: default: expected a template's text, got undefined",
    ],
  ])("as a template %s", (_, source, message) => {
    expect(() => chatTemplate(source as string)).toThrow(message);
  });
});

import { mkdir, mkdtemp, readdir, readFile, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { trainBytePair } from "../../src/data/byte-pair.js";
import { chatTemplateOf } from "../../src/data/chat-template.js";
import { text } from "../../src/data/text-files.js";
import { Tokenizer, writeTokenizer } from "../../src/data/tokenizer-files.js";
import { backtracks } from "../../src/data/tokenizer-sections.js";

const source = await readFile(new URL("../golden/tokenizers/text.txt", import.meta.url), "utf8");
const trained = await trainBytePair([source], { vocabulary: 600, specials: ["<|endoftext|>", "<pad>"] });
/** A copy that may be changed. */
const copy = (): Mutable => JSON.parse(JSON.stringify(trained)) as Mutable;
type Mutable = { [key: string]: unknown } & { model: Record<string, unknown>; added_tokens: Record<string, unknown>[] };

let folder = "";
const at = (...parts: string[]): string => join(folder, ...parts);
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tokenizer-"));
});
afterAll(() => rm(folder, { recursive: true }));

describe("a tokenizer", () => {
  const config = { eos_token: { content: "<|endoftext|>" }, bos_token: "<|endoftext|>", pad_token: null };
  const tokenizer = Tokenizer.from(trained, { config, specialTokens: { pad_token: "<pad>", eos_token: "<pad>" } });

  test("knows its size, its tokens and their ids", () => {
    expect(tokenizer.vocabulary).toBe(600);
    expect([tokenizer.idOf("<pad>"), tokenizer.idOf("A"), tokenizer.idOf("nothing such")]).toEqual([1, 34, undefined]);
    expect([tokenizer.tokenOf(1), tokenizer.tokenOf(34), tokenizer.tokenOf(600)]).toEqual(["<pad>", "A", undefined]);
  });

  test("names its special tokens, of the configuration first", () => {
    expect([tokenizer.bos, tokenizer.eos, tokenizer.pad]).toEqual([0, 0, 1]);
    expect(Tokenizer.from(trained).eos).toBeUndefined();
    expect(Tokenizer.from(trained, { config: { eos_token: "</s>" } }).eos).toBeUndefined();
  });

  test("leaves special tokens out where asked to", () => {
    const ids = tokenizer.encode("one<|endoftext|>two<pad>");
    expect(tokenizer.decode(ids)).toBe("one<|endoftext|>two<pad>");
    expect(tokenizer.decode(ids, { skipSpecials: true })).toBe("onetwo");
    const stream = tokenizer.stream({ skipSpecials: true });
    expect(ids.map((id) => stream.push(id)).join("") + stream.end()).toBe("onetwo");
  });

  test("puts tokens around a text where its post-processor says so", () => {
    const file = copy();
    const special = (id: string) => ({ SpecialToken: { id, type_id: 0 } });
    file.post_processor = {
      type: "TemplateProcessing",
      single: [special("<|endoftext|>"), { Sequence: { id: "A", type_id: 0 } }, special("<pad>")],
      pair: [],
      special_tokens: { "<|endoftext|>": { id: "<|endoftext|>", ids: [0], tokens: ["<|endoftext|>"] } },
    };
    const around = Tokenizer.from(file);
    const ids = tokenizer.encode("interface Array");
    expect(around.encode("interface Array")).toEqual([0, ...ids, 1]);
    expect(around.encode("interface Array", { specials: false })).toEqual(ids);
    expect(around.encode("")).toEqual([0, 1]);
    expect(around.encode("", { specials: false })).toEqual([]);
  });

  test("decodes nothing to nothing, and half a character to U+FFFD", () => {
    expect(tokenizer.decode([])).toBe("");
    const ids = tokenizer.encode("☃").slice(0, 1);
    expect(tokenizer.decode(ids)).toBe("\uFFFD");
    const stream = tokenizer.stream();
    expect([...ids.map((id) => stream.push(id)), stream.end()]).toEqual(["", "\uFFFD"]);
  });

  test("streams whole characters only", () => {
    const ids = tokenizer.encode("a☃🙂");
    const stream = tokenizer.stream();
    const pieces = ids.map((id) => stream.push(id));
    expect(pieces.filter((piece) => piece !== "")).toEqual(["a", "☃", "🙂"]);
    expect(ids.length).toBeGreaterThan(3);
  });

  test.each([[-1], [600], [1.5], [Number.NaN], [2 ** 40]])("refuses to decode id %d", (id) => {
    expect(() => tokenizer.decode([5, id])).toThrow(`id ${id} at position 1 is no token; ids go from 0 to 599`);
    expect(() => tokenizer.stream().push(id)).toThrow(`id ${id} in the stream is no token`);
  });
});

describe("other kinds", () => {
  const wordPiece = {
    model: {
      type: "WordPiece",
      unk_token: "[UNK]",
      continuing_subword_prefix: "##",
      vocab: { "[UNK]": 0, "[CLS]": 1, un: 2, "##aff": 3, "##able": 4, hello: 5 },
    },
    normalizer: { type: "BertNormalizer", lowercase: true, clean_text: true, handle_chinese_chars: true },
    pre_tokenizer: { type: "BertPreTokenizer" },
    decoder: { type: "WordPiece", prefix: "##", cleanup: false },
    added_tokens: [{ id: 1, content: "[CLS]", special: true }],
  };
  const unigram = {
    model: { type: "Unigram", unk_id: 0, vocab: ["<unk>", "▁", "▁the", "▁ca", "t", "s"].map((t, i) => [t, -i]) },
    pre_tokenizer: { type: "Metaspace", replacement: "▁", prepend_scheme: "always" },
    decoder: { type: "Metaspace", replacement: "▁", prepend_scheme: "always" },
  };
  const fallback = {
    model: {
      type: "BPE",
      byte_fallback: true,
      vocab: Object.fromEntries([
        ...Array.from({ length: 256 }, (_, i) => [`<0x${i.toString(16).toUpperCase().padStart(2, "0")}>`, i]),
        ...["▁", "h", "i", "hi", "▁hi"].map((token, i) => [token, 256 + i]),
      ]) as Record<string, number>,
      merges: ["h i", "▁ hi"],
    },
    normalizer: {
      type: "Sequence",
      normalizers: [
        { type: "Prepend", prepend: "▁" },
        { type: "Replace", pattern: { String: " " }, content: "▁" },
      ],
    },
    decoder: {
      type: "Sequence",
      decoders: [
        { type: "Replace", pattern: { String: "▁" }, content: " " },
        { type: "ByteFallback" },
        { type: "Fuse" },
        { type: "Strip", content: " ", start: 1, stop: 0 },
      ],
    },
  };

  test.each<[string, object, string, number[], string]>([
    ["WordPiece, as BERT", wordPiece, "Hello unaffable[CLS]xyz", [5, 2, 3, 4, 1, 0], "hello unaffable [CLS] [UNK]"],
    ["Unigram, as T5", unigram, "the cats", [2, 3, 4, 5], "the cats"],
    [
      "byte-pair with bytes to fall back on, as Llama 2",
      fallback,
      "hi hi 🙂",
      [260, 260, 256, 240, 159, 153, 130],
      "hi hi 🙂",
    ],
  ])("%s", (_, file, sample, ids, decoded) => {
    const tokenizer = Tokenizer.from(file);
    expect(tokenizer.encode(sample)).toEqual(ids);
    expect(tokenizer.decode(ids)).toBe(decoded);
    const stream = tokenizer.stream();
    const pieces = ids.map((id) => stream.push(id));
    expect(pieces.join("") + stream.end()).toBe(decoded);
    expect(pieces.join("")).not.toContain("\uFFFD");
  });

  test("byte-level with a pattern that leaves text between its matches", () => {
    const bytes = { type: "ByteLevel", add_prefix_space: false, use_regex: false };
    const split = { type: "Split", pattern: { Regex: String.raw`\p{N}|\s+` }, behavior: "Isolated", invert: false };
    const tokenizer = Tokenizer.from({ ...copy(), pre_tokenizer: { type: "Sequence", pretokenizers: [split, bytes] } });
    const ids = tokenizer.encode("string12 string");
    expect(ids.map((id) => tokenizer.tokenOf(id))).toEqual(["string", "1", "2", "Ġ", "string"]);
  });

  test("byte-level that takes words whole where it knows them, as Llama 3", () => {
    const file = copy();
    const model = { ...file.model, ignore_merges: true, merges: [["r", "e"]] };
    const tokens = (text: string): unknown => {
      const tokenizer = Tokenizer.from({ ...file, model });
      return tokenizer.encode(text).map((id) => tokenizer.tokenOf(id));
    };
    expect(tokens("declare")).toEqual(["declare"]);
    expect(tokens("declared")).toEqual(["d", "e", "c", "l", "a", "re", "d"]);
  });

  test("a text with what has no token is refused where there is no unk_token", () => {
    const file = copy();
    delete (file.model.vocab as Record<string, unknown>)["~"];
    expect(() => Tokenizer.from(file).encode("a~")).not.toThrow();
    const unknown = { model: { type: "WordPiece", vocab: { a: 0 } }, pre_tokenizer: { type: "Whitespace" } };
    expect(() => Tokenizer.from(unknown).encode("b")).toThrow("unk_token");
  });
});

describe("a hostile tokenizer.json is refused", () => {
  const changed = (change: (file: Mutable) => void): (() => unknown) => {
    const file = copy();
    change(file);
    return () => Tokenizer.from(JSON.stringify(file), { name: "x/tokenizer.json" });
  };
  const model = (key: string, value: unknown) => changed((file) => Object.assign(file.model, { [key]: value }));
  const vocab = (token: string, id: unknown) =>
    changed((file) => Object.assign(file.model.vocab as object, { [token]: id }));
  const added = (entry: unknown) => changed((file) => file.added_tokens.push(entry as Record<string, unknown>));
  const section = (key: string, value: unknown) => changed((file) => Object.assign(file, { [key]: value }));
  const regex = (pattern: string) =>
    section("pre_tokenizer", { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false });
  const deep = (levels: number): unknown =>
    levels === 0 ? { type: "NFC" } : { type: "Sequence", normalizers: [deep(levels - 1)] };
  const whole = JSON.stringify(trained);

  test.each<[string, () => unknown, RegExp]>([
    ["nothing", () => Tokenizer.from(""), /tokenizer\.json: not whole JSON/],
    ["cut short", () => Tokenizer.from(whole.slice(0, -5)), /not whole JSON/],
    ["a list", () => Tokenizer.from("[]"), /the file: expected an object, got a list/],
    ["null", () => Tokenizer.from("null"), /expected an object, got null/],
    ["no model", section("model", null), /x\/tokenizer\.json: model: expected an object, got null/],
    ["an unknown model", model("type", "Magic"), /model\.type: "Magic"; expected "BPE", "WordPiece" or "Unigram"/],
    ["a vocabulary that is a list", model("vocab", ["a"]), /model\.vocab: expected an object, got a list/],
    ["an empty vocabulary", model("vocab", {}), /model\.vocab: it is empty/],
    ["an id that is text", vocab("a", "5"), /model\.vocab\["a"\]: the id is "5"/],
    ["a negative id", vocab("a", -1), /the id is -1; expected a whole number from 0/],
    ["a broken id", vocab("a", 1.5), /the id is 1\.5/],
    ["a huge id", vocab("a", 2 ** 31), /the id is 2147483648/],
    ["an id twice", vocab("zzz", 300), /model\.vocab\["zzz"\]: the id 300 is that of ".*" too/],
    ["a token without end", vocab("z".repeat(5000), 9999), /a token of 5000 characters/],
    ["merges that are no list", model("merges", { a: 1 }), /model\.merges: expected a list/],
    ["a merge of numbers", model("merges", [[1, 2]]), /model\.merges\[0\]: expected text, got number/],
    ["a merge of three", model("merges", [["a", "b", "c"]]), /expected two tokens/],
    ["a merge of one", model("merges", ["ab"]), /expected two tokens, got "ab"/],
    ["merges of two forms", model("merges", [["r", "e"], "a b"]), /some merges are lists and some are text/],
    ["a merge into nothing", model("merges", [["☃", "b"]]), /"☃" is not in model\.vocab/],
    ["a merge that reaches a prototype", model("merges", [["__proto__", "b"]]), /"__proto__" is not in/],
    ["no merges", model("merges", undefined), /model\.merges: expected a list, got undefined/],
    ["words without limit", model("max_input_chars_per_word", 1e9), /max_input_chars_per_word/],
    ["added tokens that are no list", section("added_tokens", 5), /added_tokens: expected a list, got number/],
    ["an added token without content", added({ id: 700 }), /added_tokens\[2\]\.content: expected text, got undefined/],
    ["an empty added token", added({ id: 700, content: "" }), /added_tokens\[2\]\.content: it is empty/],
    [
      "an added token with a taken id",
      added({ id: 300, content: "<x>" }),
      /added_tokens\[2\]\.id: the id 300 is that of/,
    ],
    ["an added token with two ids", added({ id: 700, content: "<pad>" }), /"<pad>" has two ids/],
    ["a section that is text", section("normalizer", "NFC"), /normalizer: expected an object, got string/],
    ["an unknown section", section("pre_tokenizer", { type: "Magic" }), /cannot be used/],
    ["sections without end", section("normalizer", deep(500)), /nested deeper than 32/],
    ["a pattern that never ends", regex("(a+)+$"), /pre_tokenizer\.pattern\.Regex: a repetition inside a repetition/],
    ["a pattern that is no pattern", regex("(a"), /cannot be used/],
    [
      "a pattern that is a number",
      section("normalizer", { type: "Replace", pattern: { Regex: 5 } }),
      /expected text, got number/,
    ],
    [
      "replacements that multiply",
      section("normalizer", {
        type: "Sequence",
        normalizers: Array.from({ length: 9 }, () => ({ type: "Replace", pattern: { String: "a" }, content: "aaaa" })),
      }),
      /could make a text \d+ times as long/,
    ],
    [
      "a __proto__ in a section",
      () => Tokenizer.from(whole.replace('"normalizer":null', '"normalizer":{"__proto__":{"type":"NFC"}}')),
      /normalizer\.__proto__: this key is not allowed/,
    ],
  ])("%s", (_, act, message) => {
    expect(act).toThrow(message);
    expect(act).toThrow(expect.objectContaining({ name: "LayerwiseError", code: "file" }));
  });

  test("what breaks only when it is used names the file then", () => {
    const file = copy();
    file.post_processor = { type: "TemplateProcessing", pair: [] };
    const tokenizer = Tokenizer.from(file, { name: "y.json" });
    expect(() => tokenizer.encode("a")).toThrow("y.json: cannot encode (");
    expect(() => tokenizer.encode("a")).toThrow(expect.objectContaining({ code: "file" }));
  });

  test("configurations too", () => {
    expect(() => Tokenizer.from(trained, { config: "[1]" })).toThrow(
      "tokenizer_config.json: expected an object, got a list",
    );
    expect(() => Tokenizer.from(trained, { specialTokens: "{" })).toThrow("special_tokens_map.json: not whole JSON");
    const odd = JSON.parse(
      '{"__proto__": {"eos_token": "<pad>"}, "bos_token": 5, "additional_special_tokens": "x"}',
    ) as object;
    expect(Tokenizer.from(trained, { config: odd })).toMatchObject({ bos: undefined, eos: undefined });
  });

  test.each([
    [String.raw`(?i:'s|'t)|[^\r\n\p{L}]?\p{L}+|\p{N}{1,3}| ?[^\s]+[\r\n]*|\s+(?!\S)|\s+`, false],
    [String.raw`\d{1,3}(?=(?:\d{3})*\b)`, false],
    ["[(a+)+]*", false],
    [String.raw`\(a+\)+`, false],
    ["(?:ab)*", false],
    ["(a+)?", false],
    ["(a|b){2}", false],
    ["(a+)+", true],
    ["(a*)*b", true],
    ["(?:a|a)*", true],
    ["(a?)*", true],
    ["((a+)b)*", true],
    ["(x(?:a{2,}))+", true],
    ["([ab]+c){3,}", true],
  ])("whether %s may go on without end: %s", (pattern, expected) => {
    expect(backtracks(pattern)).toBe(expected);
  });
});

describe("a folder", () => {
  test("holds what was trained", async () => {
    await mkdir(at("model"));
    await writeTokenizer(at("model"), trained);
    expect((await readdir(at("model"))).sort()).toEqual(["tokenizer.json", "tokenizer_config.json"]);
    const tokenizer = await Tokenizer.open(at("model"));
    expect([tokenizer.vocabulary, tokenizer.eos]).toEqual([600, 0]);
    expect(tokenizer.encode(source)).toEqual(Tokenizer.from(trained).encode(source));
    expect(() => chatTemplateOf(tokenizer)).toThrow("there is no chat_template");
  });

  test("may hold a chat template, in a file of its own or in the configuration", async () => {
    await mkdir(at("chat"));
    await writeTokenizer(at("chat"), trained);
    const rendered = async (): Promise<string> => chatTemplateOf(await Tokenizer.open(at("chat")))([]);
    await writeFile(
      at("chat", "tokenizer_config.json"),
      JSON.stringify({ chat_template: "config", eos_token: "<pad>" }),
    );
    expect(await rendered()).toBe("config");
    await writeFile(at("chat", "chat_template.json"), JSON.stringify({ chat_template: "json {{ eos_token }}" }));
    expect(await rendered()).toBe("json <pad>");
    await writeFile(at("chat", "chat_template.jinja"), "jinja {{ eos_token }}");
    expect(await rendered()).toBe("jinja <pad>");
  });

  test.each<[string, (path: string) => Promise<unknown>, RegExp]>([
    ["without a tokenizer.json", async () => undefined, /tokenizer\.json: cannot be opened.*ENOENT/],
    [
      "with a folder of that name",
      (path) => mkdir(join(path, "tokenizer.json")),
      /expected a regular file, got a folder/,
    ],
    ["with a link to nowhere", (path) => symlink("nowhere", join(path, "tokenizer.json")), /ENOENT/],
    [
      "with a file of 1 GiB",
      async (path) => {
        await writeFile(join(path, "tokenizer.json"), "");
        await truncate(join(path, "tokenizer.json"), 2 ** 30);
      },
      /1073741824 bytes; expected at most/,
    ],
    [
      "with bytes that are not UTF-8",
      (path) => writeFile(join(path, "tokenizer.json"), Buffer.from([0x7b, 0xff])),
      /is not valid UTF-8/,
    ],
    [
      "with a broken configuration",
      async (path) => {
        await writeTokenizer(path, trained);
        await writeFile(join(path, "tokenizer_config.json"), "{");
      },
      /tokenizer_config\.json: not whole JSON/,
    ],
    [
      "with an odd chat_template.json",
      async (path) => {
        await writeTokenizer(path, trained);
        await writeFile(join(path, "chat_template.json"), "{}");
      },
      /chat_template\.json: expected the key chat_template/,
    ],
  ])("%s is refused", async (_, prepare, message) => {
    const path = await mkdtemp(at("bad-"));
    await prepare(path);
    const error = await Tokenizer.open(path).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ name: "LayerwiseError", code: "file", message: expect.stringMatching(message) });
  });
});

describe("a corpus of tokens", () => {
  const tokenizer = Tokenizer.from(trained);

  test("is the text encoded, and comes back", async () => {
    const data = await text.from(source, { tokens: tokenizer, context: 32, validation: 0 });
    const ids = tokenizer.encode(source);
    expect([data.vocabulary, data.lengths.train]).toEqual([600, ids.length]);
    expect(data.bytesPerToken).toBeCloseTo(Buffer.byteLength(source) / ids.length, 12);
    for await (const batch of data.batches({ size: 1, steps: 1, seed: 1 })) {
      const row = (batch.tokens.toArray() as number[][])[0] as number[];
      expect(ids.join()).toContain(row.join());
    }
    expect([...data.encode("interface")]).toEqual(tokenizer.encode("interface"));
    expect(data.decode(data.encode("naïve 🙂"))).toBe("naïve 🙂");
  });

  test("from files: a folder's tokenizer, pieces cut between words, ids in a file that is removed", async () => {
    const temporary = await mkdtemp(at("temporary-"));
    vi.stubEnv("TMPDIR", temporary);
    await mkdir(at("corpus"));
    await mkdir(at("own"));
    await writeTokenizer(at("own"), trained);
    const large = source.repeat(Math.ceil((3 << 20) / source.length));
    await writeFile(at("corpus", "a.txt"), large);
    await writeFile(at("corpus", "b.txt"), "one<|endoftext|>two");
    const data = await text.open(at("corpus"), { tokens: at("own"), context: 64, validation: 0 });
    const ids = [...tokenizer.encode(large), ...tokenizer.encode("one<|endoftext|>two")];
    expect(data.lengths.train).toBe(ids.length);
    expect((await readdir(temporary)).length).toBe(2);
    const all = ids.join();
    for await (const { tokens } of data.batches({ size: 4, steps: 20, seed: 3 }))
      for (const row of tokens.toArray() as number[][]) expect(all).toContain(row.join());
    await data.close();
    expect(await readdir(temporary)).toEqual([]);
    vi.unstubAllEnvs();
  });

  test.each<[string, string | Uint8Array, object, RegExp]>([
    [
      "a folder that is none",
      "x".repeat(99),
      { tokens: "/nowhere" },
      /tokens is "\/nowhere", which is neither .*ENOENT/,
    ],
    [
      "bytes that are not UTF-8",
      Buffer.from("abcdef é und so weiter", "latin1"),
      {},
      /bad\.txt, byte 7: not valid UTF-8/,
    ],
    ["a character cut by the end", Buffer.from([97, 97, 0xe8, 0xaa]), {}, /bad\.txt, byte 2: not valid UTF-8/],
    ["a text shorter than a window", "a", {}, /a window needs 5/],
  ])("refuses %s and leaves nothing behind", async (_, content, more, message) => {
    const temporary = await mkdtemp(at("temporary-"));
    vi.stubEnv("TMPDIR", temporary);
    await writeFile(at("bad.txt"), content);
    const options = { tokens: tokenizer, context: 4, validation: 0, ...more };
    const error = await text.open(at("bad.txt"), options).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "file", message: expect.stringMatching(message) });
    expect(await readdir(temporary)).toEqual([]);
    vi.unstubAllEnvs();
  });
});

import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type BytePairOptions, type BytePairProgress, trainBytePair } from "../../src/data/byte-pair.js";
import { safeCut, type WordSplit, wordExpression } from "../../src/data/split-words.js";
import { Tokenizer } from "../../src/data/tokenizer.js";

interface Golden {
  readonly vocabulary: number;
  readonly specials: string[];
  readonly merges: [string, string][];
  readonly samples: [string, number[]][];
}

const read = (name: string): string => readFileSync(new URL(`../golden/tokenizers/${name}`, import.meta.url), "utf8");
const corpus = read("text.txt");
const golden = (split: WordSplit): Golden => JSON.parse(read(`${split}.json`)) as Golden;
const splits: WordSplit[] = ["gpt2", "llama3"];

describe.each(splits)("with the words of %s", (split) => {
  const { vocabulary, specials, merges, samples } = golden(split);
  const trained = trainBytePair([corpus], { vocabulary, specials, split });

  test("the merges are Hugging Face's", async () => {
    const { model } = await trained;
    expect(model.merges).toEqual(merges);
    expect(Object.keys(model.vocab).length).toBe(vocabulary);
  });

  test.each(samples)("the ids of %j are Hugging Face's", async (sample, ids) => {
    const tokenizer = Tokenizer.from(await trained);
    expect(tokenizer.encode(sample)).toEqual(ids);
    expect(tokenizer.encode(sample, { specials: false })).toEqual(ids);
    expect(tokenizer.decode(ids)).toBe(sample);
  });

  test("any text comes back, at once and token by token", async () => {
    const tokenizer = Tokenizer.from(await trained);
    const piece = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.constantFrom(
        " ",
        "  ",
        "\r\n",
        "\0",
        "\n \n",
        "🙂",
        "👩‍👩‍👧‍👦",
        "<|endoftext|>",
        "'s",
        "123456",
        "\uFEFF",
        "\u0085",
        "return",
      ),
    );
    fc.assert(
      fc.property(fc.array(piece), (pieces) => {
        const text = pieces.join("");
        const ids = tokenizer.encode(text);
        expect(tokenizer.decode(ids)).toBe(text);
        const stream = tokenizer.stream();
        expect(ids.map((id) => stream.push(id)).join("") + stream.end()).toBe(text);
      }),
    );
  });

  test("remembered words and the library give the same ids", async () => {
    const tokenizer = Tokenizer.from(await trained);
    expect(tokenizer.encode(corpus, { specials: false })).toEqual(tokenizer.encode(corpus));
  });

  test("a text cut where it may be cut has the same words", () => {
    const words = (text: string): string[] => text.match(wordExpression(split)) ?? [];
    const unit = fc.constantFrom("a", "B", "7", " ", " ", "\n", "\r", "'", "s", ".", "é", "🙂", "\t", "\u00a0");
    fc.assert(
      fc.property(fc.string({ unit, maxLength: 40 }), fc.nat(40), (text, most) => {
        const cut = safeCut(text, most);
        expect([...words(text.slice(0, cut)), ...words(text.slice(cut))]).toEqual(words(text));
      }),
      { numRuns: 2000 },
    );
  });
});

describe("training", () => {
  const options: BytePairOptions = { vocabulary: 300, minFrequency: 1 };
  const mergesOf = async (chunks: string[], more: object = {}): Promise<unknown> =>
    (await trainBytePair(chunks, { ...options, ...more })).model.merges;

  test("takes the most frequent pair first, of equal ones that of the smaller ids", async () => {
    expect(await mergesOf(["ba ab ab"], { vocabulary: 258 })).toEqual([
      ["a", "b"],
      ["Ġ", "ab"],
    ]);
    expect(await mergesOf(["dc ba"], { vocabulary: 257 })).toEqual([["b", "a"]]);
  });

  test("counts a run of one character without overlap", async () => {
    expect(await mergesOf(["aaaa"], { vocabulary: 300 })).toEqual([
      ["a", "a"],
      ["aa", "aa"],
    ]);
  });

  test("does not merge what occurs too rarely, nor more than there is", async () => {
    expect(await mergesOf(["abab ab"], { minFrequency: 4 })).toEqual([]);
    expect(await mergesOf([])).toEqual([]);
  });

  test("knows a token named __proto__", async () => {
    const file = await trainBytePair(["__proto__ ".repeat(9)], { vocabulary: 280 });
    const tokenizer = Tokenizer.from(JSON.stringify(file));
    expect(tokenizer.decode(tokenizer.encode("__proto__ x"))).toBe("__proto__ x");
  });

  test("says how far it is, last that it is done", async () => {
    const seen: BytePairProgress[] = [];
    await trainBytePair([corpus], { vocabulary: 400, onProgress: (progress) => seen.push(progress) });
    expect(seen.at(-1)).toEqual({ phase: "merging", tokens: 400, vocabulary: 400 });
  });

  test("stops when asked to", async () => {
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(trainBytePair([corpus], { ...options, signal })).rejects.toThrow("enough");
  });

  test.each<[string, Partial<BytePairOptions>, string]>([
    ["fewer tokens than bytes", { vocabulary: 255 }, "vocabulary is 255; expected a whole number of at least 256"],
    ["no room for the specials", { vocabulary: 256, specials: ["<s>"] }, "at least 257"],
    ["a special twice", { specials: ["<s>", "<s>"] }, '"<s>" is empty or given twice'],
    ["an empty special", { specials: [""] }, "empty"],
    ["a frequency of 0", { minFrequency: 0 }, "minFrequency is 0"],
    ["another split", { split: "words" as WordSplit }, 'split is "words"'],
  ])("refuses %s", async (_, more, message) => {
    await expect(trainBytePair([corpus], { ...options, ...more })).rejects.toThrow(message);
  });
});

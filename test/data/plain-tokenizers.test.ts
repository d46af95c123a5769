import { describe, expect, test } from "vitest";
import { byteTokenizerFile, characterTokenizerFile } from "../../src/data/plain-tokenizers.js";
import { text } from "../../src/data/text.js";
import { Tokenizer } from "../../src/data/tokenizer.js";

const sample = "It's 42 – zwölf Boxkämpfer, 日本語\n\n\ttabs  and\r\nlines 🙂🏽 \u0000\u2028\uFEFFend 'll __proto__ ";

describe("a corpus's tokens as a tokenizer.json", () => {
  test("bytes: the ids of the UTF-8 text, and back", () => {
    const tokenizer = Tokenizer.from(byteTokenizerFile());
    expect(tokenizer.vocabulary).toBe(256);
    expect(tokenizer.encode(sample)).toEqual([...new TextEncoder().encode(sample)]);
    expect(tokenizer.decode(tokenizer.encode(sample))).toBe(sample);
  });

  test("characters: the ids of the corpus, and back", async () => {
    const data = await text.from(sample, { tokens: "characters", context: 4, validation: 0 });
    const characters = Array.from({ length: data.vocabulary }, (_, id) => data.decode([id]));
    const tokenizer = Tokenizer.from(characterTokenizerFile(characters));
    expect(tokenizer.vocabulary).toBe(data.vocabulary);
    expect(tokenizer.encode(sample)).toEqual([...data.encode(sample)]);
    expect(tokenizer.decode(tokenizer.encode(sample))).toBe(sample);
    await data.close();
  });

  test("long texts without spaces too", () => {
    const long = "ab".repeat(50_000);
    const tokenizer = Tokenizer.from(characterTokenizerFile(["a", "b"]));
    expect(tokenizer.encode(long)).toEqual(Array.from(long, (letter) => (letter === "a" ? 0 : 1)));
  });
});

import { describe, expect, test } from "vitest";
import { type TextBatch, text } from "../../src/data/text.js";

const collect = async (batches: AsyncIterable<TextBatch>): Promise<TextBatch[]> => {
  const list: TextBatch[] = [];
  for await (const batch of batches) list.push(batch);
  return list;
};
const alphabet = Array.from({ length: 1000 }, (_, i) => String.fromCharCode(97 + (i % 26))).join("");
const rows = (batch: TextBatch): number[][] => batch.tokens.toArray() as number[][];
const inputs = (batches: TextBatch[]): string[] => batches.flatMap(rows).map(String);

describe("batches", () => {
  test("are int32 [size, context], targets one token on", async () => {
    const data = await text.from(alphabet, { tokens: "bytes", context: 8, validation: 0 });
    for (const { tokens, targets } of await collect(data.batches({ size: 4, steps: 20 }))) {
      expect([tokens.dtype, tokens.shape, targets.dtype, targets.shape]).toEqual(["int32", [4, 8], "int32", [4, 8]]);
      for (const [row, next] of (tokens.toArray() as number[][]).map(
        (r, i) => [r, (targets.toArray() as number[][])[i]] as const,
      )) {
        expect(next?.slice(0, -1)).toEqual(row.slice(1));
        expect(next?.at(-1)).toBe((((row.at(-1) as number) - 97 + 1) % 26) + 97);
      }
    }
  });

  test("of one validation epoch see every whole window exactly once", async () => {
    const unique = String.fromCodePoint(...Array.from({ length: 500 }, (_, i) => 0x4e00 + i));
    const data = await text.from([unique, "x".repeat(40_000)], { tokens: "characters", context: 10, seed: 1 });
    const windows = data.windows("validation");
    const seen = inputs(await collect(data.batches({ size: 1, epochs: 1, split: "validation" })));
    expect(seen.length).toBe(windows);
    expect(windows).toBe(Math.floor((data.lengths.validation - 1) / 10));
    expect(new Set(seen).size).toBe(windows);
  });

  test("are the same for the same seed and differ for another", async () => {
    const data = await text.from(alphabet, { tokens: "bytes", context: 8 });
    const once = inputs(await collect(data.batches({ size: 2, steps: 30, seed: 5 })));
    expect(inputs(await collect(data.batches({ size: 2, steps: 30, seed: 5 })))).toEqual(once);
    expect(inputs(await collect(data.batches({ size: 2, steps: 30, seed: 6 })))).not.toEqual(once);
  });

  test.each([1, 29, 30, 31, 59])("restarted at %i go on as if never stopped", async (start) => {
    const data = await text.from(alphabet, { tokens: "bytes", context: 8 });
    const whole = inputs(await collect(data.batches({ size: 4, steps: 60, seed: 2 })));
    expect(inputs(await collect(data.batches({ size: 4, steps: 60, seed: 2, start })))).toEqual(whole.slice(start * 4));
  });

  test("of training cut the text at other places in the next epoch", async () => {
    const unique = String.fromCodePoint(...Array.from({ length: 1000 }, (_, i) => 0x4e00 + i));
    const data = await text.from(unique, { tokens: "characters", context: 10, validation: 0 });
    const firsts = (await collect(data.batches({ size: 1, epochs: 4 }))).map((batch) => batch.tokens.at(0) % 10);
    const perEpoch = data.windows();
    const phases = [0, 1, 2, 3].map((epoch) => new Set(firsts.slice(epoch * perEpoch, (epoch + 1) * perEpoch)));
    expect(phases.every((phase) => phase.size === 1)).toBe(true);
    expect(new Set(phases.map((phase) => [...phase][0])).size).toBeGreaterThan(1);
  });

  test("may be left early", async () => {
    const data = await text.from(alphabet, { tokens: "bytes", context: 8 });
    for await (const _ of data.batches({ size: 1, steps: 1e6 })) break;
  });

  test.each([
    [{ size: 0 }, "size is 0"],
    [{ size: 1.5 }, "size is 1.5"],
    [{ size: 1, start: -1 }, "start is -1"],
    [{ size: 1, steps: Number.NaN }, "steps is NaN"],
    [{ size: 1, epochs: 0 }, "epochs is 0"],
    [{ size: 1, epochs: 1, steps: 1 }, "give one"],
  ])("refuse %j", async (options, message) => {
    const data = await text.from(alphabet, { tokens: "bytes", context: 8 });
    expect(() => data.batches(options)).toThrow(message);
  });

  test("of a side that was not held back are refused", async () => {
    const data = await text.from(alphabet, { tokens: "bytes", context: 8, validation: 0 });
    expect(() => data.batches({ size: 1, split: "validation" })).toThrow("no validation text");
  });
});

describe("tokens", () => {
  test("bytes: 256, one byte each, round trip", async () => {
    const data = await text.from(`${alphabet}é`, { tokens: "bytes", context: 8 });
    expect([data.vocabulary, data.bytesPerToken]).toEqual([256, 1]);
    expect(data.decode(data.encode("naïve 語 🙂"))).toBe("naïve 語 🙂");
    expect([...data.encode("é")]).toEqual([0xc3, 0xa9]);
  });

  test("characters: those that occur, in code-point order", async () => {
    const data = await text.from("ba🙂é\n".repeat(20), { tokens: "characters", context: 4 });
    expect(data.vocabulary).toBe(5);
    expect([...data.encode("\nabé🙂")]).toEqual([0, 1, 2, 3, 4]);
    expect(data.decode([4, 0, 1])).toBe("🙂\na");
    expect(data.bytesPerToken).toBe(9 / 5);
  });

  test("characters of the validation text are known too", async () => {
    const data = await text.from(["a".repeat(900), "b".repeat(90)], { tokens: "characters", context: 4 });
    expect(data.vocabulary).toBe(2);
  });

  test("characters: windows far into a text of mixed widths are found", async () => {
    const source = Array.from({ length: 20_000 }, (_, i) => (i % 3 ? String.fromCodePoint(0x4e00 + i) : "🙂")).join("");
    const data = await text.from(source, { tokens: "characters", context: 100, validation: 0 });
    for (const batch of await collect(data.batches({ size: 2, steps: 90 })))
      for (const row of rows(batch)) expect(source).toContain(data.decode(row));
  });

  test.each([
    [
      "encode of an unseen character",
      "characters",
      (data: Awaited<ReturnType<typeof text.from>>) => data.encode("a!"),
      'character 1 ("!")',
    ],
    [
      "decode of an id outside",
      "characters",
      (data: Awaited<ReturnType<typeof text.from>>) => data.decode([0, 26]),
      "id 26 at position 1",
    ],
    ["decode of a negative byte", "bytes", (data: Awaited<ReturnType<typeof text.from>>) => data.decode([-1]), "id -1"],
  ] as const)("%s is an error", async (_, tokens, act, message) => {
    const data = await text.from(alphabet, { tokens, context: 8 });
    expect(() => act(data)).toThrow(message);
  });
});

describe("the split", () => {
  test("takes whole documents, about the share asked for", async () => {
    const documents = Array.from({ length: 200 }, (_, i) => `${String(i).padStart(3, "0")}:${"x".repeat(i % 50)}\n`);
    const data = await text.from(documents, { tokens: "bytes", context: 4, validation: 0.2, seed: 3 });
    const share = data.lengths.validation / (data.lengths.validation + data.lengths.train);
    expect(share).toBeGreaterThan(0.19);
    expect(share).toBeLessThanOrEqual(0.2);
    expect(data.documents.train + data.documents.validation).toBe(200);
    expect(data.notice).toBeUndefined();
  });

  test("depends on its seed alone", async () => {
    const documents = Array.from({ length: 50 }, (_, i) => String.fromCodePoint(0x4e00 + i).repeat(10));
    const held = async (seed: number): Promise<string> => {
      const data = await text.from(documents, { tokens: "characters", context: 4, seed });
      return inputs(await collect(data.batches({ size: 1, epochs: 1, split: "validation" })))
        .sort()
        .join("|");
    };
    expect(await held(1)).toBe(await held(1));
    expect(await held(1)).not.toBe(await held(2));
  });

  test("of one document is at a line's end, and says so", async () => {
    const data = await text.from("0123456789abcde\n".repeat(100), { tokens: "bytes", context: 8 });
    expect(data.lengths).toEqual({ train: 1456, validation: 144 });
    expect(data.notice).toBe("the corpus is one document: its last 9%, from byte 1456 on, is the validation text");
  });

  test("of one long line never cuts a character", async () => {
    const data = await text.from("語".repeat(500), { tokens: "characters", context: 8 });
    expect(data.lengths).toEqual({ train: 450, validation: 50 });
  });

  test("of a few large documents takes the smallest, and says so", async () => {
    const data = await text.from(["a".repeat(500), "b".repeat(400)], { tokens: "bytes", context: 8 });
    expect(data.lengths).toEqual({ train: 500, validation: 400 });
    expect(data.notice).toContain("the smallest, 44.4%");
  });

  test("sees the documents that a separator makes, which stays with the one before", async () => {
    const source = Array.from({ length: 30 }, (_, i) => `story ${i}<|end|>`).join("");
    const data = await text.from(source, { tokens: "bytes", context: 4, separator: "<|end|>" });
    expect(data.documents.train + data.documents.validation).toBe(30);
    expect(data.lengths.train + data.lengths.validation).toBe(source.length);
  });

  test("finds separators across the seams of its reading", async () => {
    const source = `${"x".repeat((1 << 20) - 3)}<|end|>${"y".repeat(1 << 20)}<|end|>`;
    const data = await text.from(source, { tokens: "bytes", context: 4, separator: "<|end|>" });
    expect(data.lengths).toEqual({ train: (1 << 20) + 7, validation: (1 << 20) + 4 });
  });
});

describe("refused", () => {
  const good = { tokens: "bytes", context: 8 } as const;
  test.each<[string, string | string[], Parameters<typeof text.from>[1], string, string]>([
    ["no text", "", good, "file", "the corpus is empty"],
    ["no documents", [], good, "file", "the corpus is empty (0 documents"],
    ["one token", "a", { ...good, validation: 0 }, "file", "has 1 tokens, a window needs 9"],
    ["exactly a context", "a".repeat(8), { ...good, validation: 0 }, "file", "has 8 tokens"],
    ["a validation text below a window", "a".repeat(80), good, "file", "the validation text has 8 tokens"],
    ["context 0", "a".repeat(80), { ...good, context: 0 }, "argument", "context is 0"],
    ["a validation share of 1", "a".repeat(80), { ...good, validation: 1 }, "argument", "validation is 1"],
    ["a validation share of NaN", "a".repeat(80), { ...good, validation: Number.NaN }, "argument", "validation is NaN"],
    ["words", "a".repeat(80), { ...good, tokens: "words" as "bytes" }, "argument", 'tokens is "words"'],
    ["an empty separator", "a".repeat(80), { ...good, separator: "" }, "argument", "separator is empty"],
  ])("%s", async (_, source, options, code, message) => {
    const error = await text.from(source, options).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code });
    expect(String(error)).toContain(message);
  });

  test("a window's worth and one token is enough", async () => {
    const data = await text.from("a".repeat(9), { ...good, validation: 0 });
    expect(data.windows()).toBe(1);
    expect((await collect(data.batches({ size: 3, steps: 2 }))).length).toBe(2);
  });
});

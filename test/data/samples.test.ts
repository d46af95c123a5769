import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { packRows } from "../../src/data/packing.js";
import type { DataRecord } from "../../src/data/records.js";
import { type SampleBatch, type SampleBatchOptions, sampleBatches } from "../../src/data/sample-batches.js";
import { Samples, type TokenizeOptions, tokenizeRecords } from "../../src/data/samples.js";
import { wordTokenizer } from "../support/word-tokenizer.js";

/** Samples of these lengths; sample i is made of ids 100 i, 100 i + 1, …, learned but for its first two. */
function samplesOf(lengths: readonly number[]): Samples {
  const samples = new Samples(7);
  lengths.forEach((length, i) => {
    const tokens = Array.from({ length }, (_, t) => 100 * i + t);
    samples.add({ tokens, learned: tokens.map((_, t) => t > 1) });
  });
  return samples;
}

async function collect(samples: Samples, options: SampleBatchOptions): Promise<SampleBatch[]> {
  const batches: SampleBatch[] = [];
  for await (const batch of sampleBatches(samples, options)) batches.push(batch);
  return batches;
}

const table = (array: { toArray(): unknown } | undefined): number[][] => array?.toArray() as number[][];
const lengths = Array.from({ length: 40 }, (_, i) => 3 + ((i * 5) % 14));

describe("batches of one sample a row", () => {
  test("are shifted, padded and masked", async () => {
    const [batch] = await collect(samplesOf([5]), { size: 1, context: 8, steps: 1 });
    expect(table(batch?.tokens)).toEqual([[0, 1, 2, 3]]);
    expect(table(batch?.targets)).toEqual([[-100, 2, 3, 4]]);
    expect(table(batch?.padding)).toEqual([[1, 1, 1, 1]]);
    const [longer] = await collect(samplesOf([6]), { size: 1, context: 8, steps: 1 });
    expect(table(longer?.tokens)).toEqual([[0, 1, 2, 3, 4, 7]]);
    expect(table(longer?.targets)).toEqual([[-100, 2, 3, 4, 5, -100]]);
    expect(table(longer?.padding)).toEqual([[1, 1, 1, 1, 1, 0]]);
    expect([longer?.tokens.dtype, longer?.targets.dtype, longer?.padding?.dtype]).toEqual(["int32", "int32", "bool"]);
  });

  test("see every sample once a pass, in another order the next", async () => {
    const batches = await collect(samplesOf(lengths), { size: 4, context: 16, seed: 5, steps: 20 });
    const seen = batches.flatMap(({ tokens }) => table(tokens).map((row) => (row[0] as number) / 100));
    const sorted = (list: number[]): number[] => list.toSorted((a, b) => a - b);
    expect(sorted(seen.slice(0, 40))).toEqual(lengths.map((_, i) => i));
    expect(sorted(seen.slice(40))).toEqual(lengths.map((_, i) => i));
    expect(seen.slice(0, 40)).not.toEqual(seen.slice(40));
  });

  test("have at most four widths, or one", async () => {
    const widths = async (more: object): Promise<number[]> => {
      const batches = await collect(samplesOf(lengths), { size: 2, context: 16, steps: 60, ...more });
      return [...new Set(batches.map(({ tokens }) => tokens.shape[1] as number))].sort((a, b) => a - b);
    };
    expect(await widths({})).toEqual([4, 8, 12, 16]);
    expect(await widths({ padToMultipleOf: 16 })).toEqual([16]);
    expect(await widths({ padToMultipleOf: 10 })).toEqual([10, 16]);
  });

  test("of one side have only its samples", async () => {
    const batches = await collect(samplesOf(lengths), { size: 3, context: 16, only: [4, 7, 9] });
    expect(batches.flatMap(({ tokens }) => table(tokens).map((row) => (row[0] as number) / 100)).sort()).toEqual([
      4, 7, 9,
    ]);
  });
});

describe("packed batches", () => {
  const options = { size: 3, context: 16, packing: true, seed: 2 } as const;

  test("hold samples beside each other, each with its segment and positions", async () => {
    const [batch] = await collect(samplesOf([5, 4, 3]), { size: 1, context: 10, packing: true, steps: 1 });
    expect(table(batch?.tokens)).toEqual([[0, 1, 2, 3, 100, 101, 102, 200, 201, 7]]);
    expect(table(batch?.targets)).toEqual([[-100, 2, 3, 4, -100, 102, 103, -100, 202, -100]]);
    expect(table(batch?.segments)).toEqual([[1, 1, 1, 1, 2, 2, 2, 3, 3, 0]]);
    expect(table(batch?.positions)).toEqual([[0, 1, 2, 3, 0, 1, 2, 0, 1, 0]]);
    expect(batch?.padding).toBeUndefined();
  });

  test("lose no sample and cut none", async () => {
    const samples = samplesOf(lengths);
    const rows = packRows(
      lengths.map((length) => length - 1),
      16,
      2,
      0,
    );
    const batches = await collect(samples, { ...options, size: 1, steps: rows.length });
    const seen: number[][] = [];
    for (const { tokens, segments } of batches)
      for (let segment = 1; segment <= 16; segment++) {
        const ids = table(tokens)[0]?.filter((_, t) => table(segments)[0]?.[t] === segment) ?? [];
        if (ids.length > 0) seen.push(ids);
      }
    seen.sort((a, b) => (a[0] as number) - (b[0] as number));
    expect(seen).toEqual(lengths.map((length, i) => Array.from({ length: length - 1 }, (_, t) => 100 * i + t)));
  });

  test("are nearly full", () => {
    const many = Array.from({ length: 3000 }, (_, i) => 1 + ((i * 7919) % 500));
    const rows = packRows(many, 512, 1, 0);
    expect(many.reduce((a, b) => a + b) / (512 * rows.length)).toBeGreaterThan(0.97);
  });
});

test("any lengths: every sample in one row, no row overfull, no two rows that would fit into one", () => {
  const property = fc.property(
    fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 200 }),
    fc.integer(),
    (all, seed) => {
      const rows = packRows(all, 50, seed);
      expect(rows.flat().sort((a, b) => a - b)).toEqual(all.map((_, i) => i));
      for (const row of rows) expect(row.reduce((sum, i) => sum + (all[i] as number), 0)).toBeLessThanOrEqual(50);
      const half = rows.filter((row) => row.reduce((sum, i) => sum + (all[i] as number), 0) <= 25);
      expect(half.length).toBeLessThanOrEqual(1);
    },
  );
  fc.assert(property, { numRuns: 100 });
});

describe.each([false, true])("with packing %s, batches", (packing) => {
  const options = { size: 3, context: 16, packing, seed: 2, steps: 40 } as const;
  test.each([1, 7, 13, 14, 39])("restarted at %i go on as if never stopped", async (start) => {
    const samples = samplesOf(lengths);
    const whole = await collect(samples, options);
    expect(whole).toHaveLength(40);
    expect(await collect(samples, { ...options, start })).toEqual(whole.slice(start));
  });

  test("depend on the seed", async () => {
    const samples = samplesOf(lengths);
    const once = await collect(samples, options);
    expect(await collect(samples, options)).toEqual(once);
    expect(await collect(samples, { ...options, seed: 3 })).not.toEqual(once);
  });
});

test.each<[Partial<SampleBatchOptions>, string]>([
  [{ size: 0 }, "size is 0"],
  [{ context: 1.5 }, "context is 1.5"],
  [{ start: -1 }, "start is -1"],
  [{ steps: -1 }, "steps is -1"],
  [{ padToMultipleOf: 0 }, "padToMultipleOf is 0"],
  [{ only: [] }, "there are no samples"],
  [{ context: 3 }, "sample 0 has 5 tokens; expected 2 to 4"],
])("batches refuse %j", (options, message) => {
  expect(() => sampleBatches(samplesOf([5]), { size: 1, context: 8, ...options })).toThrow(message);
});

describe("tokenising", () => {
  async function* located(records: DataRecord[]) {
    for (const [i, record] of records.entries()) yield { record, place: `r.jsonl, line ${i + 1}` };
  }
  const tokenizer = wordTokenizer();
  const tokenize = (records: DataRecord[], more: Partial<TokenizeOptions> = {}) =>
    tokenizeRecords(located(records), { tokenizer, context: 4, ...more });
  const words = (samples: Samples): string[] =>
    Array.from({ length: samples.count }, (_, i) =>
      tokenizer.decode([...samples.signed(i)].map((id) => (id < 0 ? ~id : id))),
    );

  test("cuts a long answer at its end and counts what is lost", async () => {
    const { samples, truncated, empty } = await tokenize([
      { prompt: "a", completion: " b c d e f" },
      { prompt: "a", completion: " b" },
    ]);
    expect(words(samples)).toEqual(["a b c d e", "a b</s>"]);
    expect({ truncated, empty, tokens: samples.tokens, learned: samples.learned }).toEqual({
      truncated: { samples: 1, tokens: 2 },
      empty: 0,
      tokens: 8,
      learned: 6,
    });
  });

  test("cuts a running text into rows that share a token, losing none", async () => {
    const { samples, truncated } = await tokenize([{ text: "a b c d e f g h" }]);
    expect(words(samples)).toEqual(["a b c d e", " e f g h</s>"]);
    expect(truncated).toEqual({ samples: 0, tokens: 0 });
  });

  test("leaves out what has nothing to learn", async () => {
    const { samples, empty } = await tokenize([
      { prompt: "a b c d e f", completion: " g" },
      { text: "" },
      { text: "a" },
    ]);
    expect(words(samples)).toEqual(["a</s>"]);
    expect(empty).toBe(2);
    await expect(tokenize([{ text: "" }])).rejects.toThrow("none of the records (1) has anything to learn within 4");
    await expect(tokenize([])).rejects.toMatchObject({ code: "file" });
  });

  test("keeps to its limit and says so", async () => {
    await expect(tokenize([{ text: "a b c" }, { text: "a b c" }], { maxTokens: 5 })).rejects.toThrow(
      "sample 2 takes them past 5 tokens",
    );
  });

  test("refuses ids outside the vocabulary", async () => {
    const wrong = { ...tokenizer, encode: () => [5, 1000] };
    await expect(tokenize([{ text: "a" }], { tokenizer: wrong })).rejects.toThrow("line 1: the tokenizer gave id 1000");
  });

  test("holds samples larger than its blocks", () => {
    const samples = samplesOf([3, 1_500_000, 4]);
    expect([0, 1, 2].map((i) => samples.length(i))).toEqual([3, 1_500_000, 4]);
    expect([...samples.signed(2)]).toEqual([~200, ~201, 202, 203]);
    expect(samples.signed(1).at(-1)).toBe(1_500_099);
  });
});

import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type DataRecord, type RecordOptions, readRecords } from "../../src/data/records.js";

let folder = "";
const at = (...parts: string[]): string => join(folder, ...parts);

async function collect(paths: string | string[], options: RecordOptions = {}): Promise<DataRecord[]> {
  const records: DataRecord[] = [];
  for await (const record of readRecords(paths, options)) records.push(record);
  return records;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "records-"));
  await mkdir(at("set", "deep"), { recursive: true });
  await writeFile(at("set", "b.jsonl"), '{"n":2}\n{"n":3}');
  await writeFile(at("set", "a.csv"), "n\n1\n");
  await writeFile(at("set", "deep", "c.jsonl.gz"), gzipSync('{"n":4}\n'));
  await writeFile(at("set", "README.md"), "# not data");
  await writeFile(at("elsewhere.jsonl"), '{"n":5}\n');
  await symlink(at("elsewhere.jsonl"), at("set", "link.jsonl"));
});
afterAll(() => rm(folder, { recursive: true }));

describe("reads", () => {
  test.each<[string, string, string | Uint8Array, unknown[]]>([
    [
      "JSON lines",
      "a.jsonl",
      '{"text":"a"}\n{"text":"b","n":[1,null]}\n',
      [{ text: "a" }, { text: "b", n: [1, null] }],
    ],
    ["a last line without its end, and empty ones", "b.jsonl", '\n{"a":1}\r\n\n  \n{"a":2}', [{ a: 1 }, { a: 2 }]],
    ["a byte-order mark", "c.jsonl", '\ufeff{"a":1}\n', [{ a: 1 }]],
    ["no records", "d.jsonl", "", []],
    ["ndjson", "e.ndjson", '{"a":1}\n', [{ a: 1 }]],
    ["a packed file", "f.jsonl.gz", gzipSync('{"a":"é"}\n{"a":"🙂"}\n'), [{ a: "é" }, { a: "🙂" }]],
    ["a JSON array", "g.json", '[\n {"a": 1},\n {"a": 2}]', [{ a: 1 }, { a: 2 }]],
    [
      "CSV",
      "h.csv",
      'prompt,completion\na,b\n"c, ""d""","e\nf"\n',
      [
        { prompt: "a", completion: "b" },
        { prompt: 'c, "d"', completion: "e\nf" },
      ],
    ],
    [
      "CSV of Windows, with a mark and empty fields",
      "i.csv",
      "\ufeffa,b\r\n1,\r\n\r\n,2\r\n",
      [
        { a: "1", b: "" },
        { a: "", b: "2" },
      ],
    ],
    ["TSV", "j.tsv", "a\tb\n1,5\t2\n", [{ a: "1,5", b: "2" }]],
    ["a packed CSV", "k.csv.gz", gzipSync("a\nü\n"), [{ a: "ü" }]],
    [
      "keys that objects have by nature",
      "l.jsonl",
      '{"constructor":"x","toString":1}',
      [{ constructor: "x", toString: 1 }],
    ],
  ])("%s", async (_, name, content, expected) => {
    await writeFile(at(name), content);
    expect(await collect(at(name))).toEqual(expected);
  });

  test("a folder: files of known formats by name, links not followed", async () => {
    expect(await collect(at("set"))).toEqual([{ n: "1" }, { n: 2 }, { n: 3 }, { n: 4 }]);
  });

  test("a glob and a list, each file once", async () => {
    expect(await collect([at("set", "*.jsonl"), at("elsewhere.jsonl"), at("set", "b.jsonl")])).toEqual([
      { n: 2 },
      { n: 3 },
      { n: 5 },
    ]);
  });

  test("a format that the name does not tell", async () => {
    await writeFile(at("data.txt"), '{"a":1}');
    expect(await collect(at("data.txt"), { format: "jsonl" })).toEqual([{ a: 1 }]);
  });

  test("lines over the seams of its reading", async () => {
    const lines = Array.from({ length: 5000 }, (_, i) => ({ i, text: "é🙂".repeat(i % 97) }));
    await writeFile(at("long.jsonl"), lines.map((line) => JSON.stringify(line)).join("\n"));
    expect(await collect(at("long.jsonl"))).toEqual(lines);
    await writeFile(at("long.csv"), `i,text\n${lines.map(({ i, text }) => `${i},"${text}\n"`).join("\n")}\n`);
    expect(await collect(at("long.csv"))).toEqual(lines.map(({ i, text }) => ({ i: String(i), text: `${text}\n` })));
  });

  test("only as far as asked", async () => {
    await writeFile(at("late.jsonl"), `${'{"a":1}\n'.repeat(3)}broken`);
    let seen = 0;
    for await (const _ of readRecords(at("late.jsonl"))) if (++seen === 3) break;
    expect(seen).toBe(3);
  });
});

describe("refuses", () => {
  const error = (paths: string | string[], options?: RecordOptions): Promise<unknown> =>
    collect(paths, options).then(
      () => "read",
      (reason: unknown) => reason,
    );
  const good = '{"a":1}\n';

  test.each<[string, string, string | Uint8Array, RegExp]>([
    ["broken JSON", "a.jsonl", `${good}{"a":}\n`, /a\.jsonl, line 2.*: not valid JSON/],
    ["a record cut by the end", "b.jsonl", `${good}{"a":"x`, /b\.jsonl, line 2.*not valid JSON/],
    ["a line that is an array", "c.jsonl", "[1]\n", /c\.jsonl, line 1: expected an object, got an array/],
    ["a line that is null", "d.jsonl", "null\n", /line 1: expected an object, got null/],
    ["__proto__", "e.jsonl", `${good}{"__proto__":{"x":1}}\n`, /line 2: the key "__proto__" is not allowed/],
    ["__proto__ deep inside", "f.jsonl", '{"a":[{"__proto__":1}]}', /line 1: the key "__proto__"/],
    ["deep nesting", "g.jsonl", `{"a":${"[".repeat(100)}${"]".repeat(100)}}`, /line 1: nested deeper than 64/],
    ["very deep nesting", "h.jsonl", `{"a":${"[".repeat(1e6)}${"]".repeat(1e6)}}`, /line 1/],
    [
      "invalid UTF-8",
      "i.jsonl",
      Buffer.from([...Buffer.from(`${good}{"a":"`), 0xff, 0x22, 0x7d]),
      /i\.jsonl, line 2: not valid UTF-8/,
    ],
    ["a character cut by the end", "j.jsonl", Buffer.from([0xe8, 0xaa]), /line 1: not valid UTF-8/],
    [
      "a line of 17 MiB",
      "k.jsonl",
      `${good}{"a":"${"x".repeat(17 * 2 ** 20)}"}`,
      /k\.jsonl, line 2: longer than 16777216 bytes/,
    ],
    [
      "a gzip bomb on one line",
      "l.jsonl.gz",
      gzipSync(Buffer.alloc(100 * 2 ** 20, " ")),
      /l\.jsonl\.gz, line 1: longer than/,
    ],
    ["a gzip bomb of many lines", "m.jsonl.gz", gzipSync(Buffer.alloc(100 * 2 ** 20, "\n")), /m\.jsonl\.gz.*gzip bomb/],
    ["what is not gzip", "n.jsonl.gz", "{}", /n\.jsonl\.gz: could not be unpacked/],
    ["a JSON object where an array is due", "a.json", "{}", /a\.json: expected a JSON array/],
    ["an array of numbers", "b.json", "[1]", /b\.json, record 1: expected an object, got 1/],
    ["a quote left open", "a.csv", 'a,b\n1,"2\n3,4\n', /a\.csv, line \d, column 2: a quote is opened and never closed/],
    ["a quote inside a field", "b.csv", 'a,b\n1,2"3"\n', /b\.csv, line 2, column 2: a quote in a field/],
    ["text after a closing quote", "c.csv", 'a,b\n1,"2"3\n', /c\.csv, line 2, column 2: a quote ends in the middle/],
    ["a row with too many fields", "d.csv", "a,b\n1,2\n1,2,3\n", /d\.csv, line 3.*expect 2, got 3/],
    ["a row with too few fields", "e.csv", "a,b\n1\n", /e\.csv, line 2.*expect 2, got 1/],
    ["two columns of one name", "f.csv", "a,b,a\n1,2,3\n", /f\.csv, line 1, column 3: "a" names two columns/],
    ["a column without a name", "g.csv", "a,,b\n1,2,3\n", /g\.csv, line 1, column 2: expected a name/],
    ["a column named __proto__", "h.csv", "a,__proto__\n1,2\n", /h\.csv, line 1, column 2: the name "__proto__"/],
    ["invalid UTF-8 in CSV", "i.csv", Buffer.from([97, 10, 0xff, 10]), /i\.csv, line 2: not valid UTF-8/],
    [
      "an open quote over 17 MiB of lines",
      "j.csv",
      `a\n"${`${"x".repeat(1023)}\n`.repeat(17 * 1024)}`,
      /j\.csv, line \d+.*a record of more than/,
    ],
    ["a name that tells no format", "a.bin", "x", /a\.bin: expected a name that ends in \.jsonl/],
  ])("%s", async (_, name, content, message) => {
    await mkdir(at("bad"), { recursive: true });
    await writeFile(at("bad", name), content);
    const reason = await error(at("bad", name));
    expect(String(reason)).toMatch(message);
    expect(reason).toMatchObject({ code: "file" });
    expect(({} as { x?: number }).x).toBeUndefined();
  });

  test("what is not there, and formats it does not know", async () => {
    expect(String(await error(at("none.jsonl")))).toMatch(/none\.jsonl.*ENOENT/);
    expect(String(await error(at("*.none")))).toMatch(/no jsonl, json, csv, tsv, parquet files in/);
    expect(await error(at("set"), { format: "xml" as "csv" })).toMatchObject({ code: "argument" });
  });
});

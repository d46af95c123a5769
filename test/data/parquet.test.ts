import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type DataRecord, readRecords } from "../../src/data/records.js";
import { goldenPath } from "../support/golden.js";

let folder = "";
let expected: DataRecord[] = [];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "parquet-"));
  expected = JSON.parse(await readFile(goldenPath("parquet/records.json"), "utf8"));
});
afterAll(() => rm(folder, { recursive: true }));

async function collect(path: string): Promise<DataRecord[]> {
  const records: DataRecord[] = [];
  for await (const record of readRecords(path)) records.push(record);
  return records;
}

describe("Parquet as Arrow writes it", () => {
  const codecs = ["none", "snappy", "gzip", "brotli", "zstd", "lz4"];
  test.each([...codecs.flatMap((codec) => [`${codec}-1`, `${codec}-2`]), "delta"])("%s", async (name) => {
    expect(await collect(goldenPath(`parquet/${name}.parquet`))).toEqual(expected);
  });
});

describe("broken Parquet is a typed error with the file's name, never a crash", () => {
  const read = async (bytes: Uint8Array): Promise<unknown> => {
    const path = join(folder, "broken.parquet");
    await writeFile(path, bytes);
    return collect(path).catch((reason: unknown) => reason);
  };
  const refused = async (bytes: Uint8Array, message: RegExp): Promise<void> => {
    const reason = await read(bytes);
    expect(reason).toMatchObject({ code: "file" });
    expect(String(reason)).toMatch(message);
  };

  test.each<[string, (good: Buffer) => Uint8Array, RegExp]>([
    ["nothing", () => new Uint8Array(), /broken\.parquet: not a Parquet file/],
    ["text", () => Buffer.from("this is some text, not columns"), /not a Parquet file/],
    ["no head or tail", (good) => good.subarray(4, -4), /not a Parquet file/],
    [
      "a footer longer than the file",
      (good) => withFooterLength(good, 0x7fffffff),
      /its footer claims 2147483647 bytes/,
    ],
    ["a footer that begins too late", (good) => withFooterLength(good, 100), /its footer cannot be read/],
    ["the data cut off", (good) => good.subarray(-4000), /row group \d/],
    [
      "a list of 2³¹ entries in the footer",
      () => file([0x15, 2, 0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07, 0]),
      /a header list of 2147483647 entries/,
    ],
    ["a footer nested 10,000 deep", () => file(new Array(10_000).fill(0x1c)), /nested deeper than 32/],
    ["a footer without fields", () => file([0]), /its footer cannot be read/],
  ])("%s", async (_, spoil, message) => {
    await refused(spoil(await readFile(goldenPath("parquet/none-1.parquet"))), message);
  });

  // Where a byte is changed, a value, a length, a run or an offset changes: some are other data, the rest are refused.
  test.each(["none-1", "none-2", "snappy-1", "zstd-2", "lz4-1", "brotli-1", "gzip-2", "delta"])(
    "any byte of %s changed",
    async (name) => {
      const good = await readFile(goldenPath(`parquet/${name}.parquet`));
      for (let i = 0; i < good.length; i += 7)
        for (const value of [0xff, (good[i] as number) ^ 1]) {
          const bad = Buffer.from(good);
          bad[i] = value;
          const result = await read(bad);
          if (!Array.isArray(result)) expect(result).toMatchObject({ code: "file" });
        }
    },
  );
});

function withFooterLength(good: Buffer, length: number): Buffer {
  const bad = Buffer.from(good);
  bad.writeUInt32LE(length, bad.length - 8);
  return bad;
}

/** A file that is only a footer. */
function file(footer: readonly number[]): Buffer {
  const tail = Buffer.alloc(8);
  tail.writeUInt32LE(footer.length, 0);
  tail.write("PAR1", 4);
  return Buffer.concat([Buffer.from("PAR1"), Buffer.from(footer), tail]);
}

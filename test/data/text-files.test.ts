import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { appendFile, chmod, mkdir, mkdtemp, readdir, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { type TextData, text } from "../../src/data/text-files.js";

let folder = "";
const at = (...parts: string[]): string => join(folder, ...parts);
const options = { tokens: "bytes", context: 4, validation: 0 } as const;

/** Tokens seen in one pass; closes the data. */
async function tokensSeen(data: TextData): Promise<number> {
  let sum = 0;
  for await (const { tokens } of data.batches({ size: 1, epochs: 1 })) sum += tokens.size;
  await data.close();
  return sum;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "text-"));
  await mkdir(at("books", "deep"), { recursive: true });
  await writeFile(at("books", "a.txt"), "a".repeat(100));
  await writeFile(at("books", "b.md"), "b".repeat(200));
  await writeFile(at("books", "deep", "c.txt"), "c".repeat(400));
  await writeFile(at("books", ".hidden"), "d".repeat(800));
  await writeFile(at("secret.txt"), "s".repeat(1600));
  await symlink(at("secret.txt"), at("books", "link.txt"));
  await symlink(folder, at("books", "loop"));
  await writeFile(at("packed.txt.gz"), gzipSync("z".repeat(5000)));
});
afterAll(() => rm(folder, { recursive: true }));

describe("opens", () => {
  test.each<[string, () => string | string[], number, number]>([
    ["a file", () => at("books", "a.txt"), 100, 1],
    ["a folder, recursively, without hidden files and links", () => at("books"), 700, 3],
    ["a glob", () => at("books", "*.txt"), 100, 1],
    ["a deep glob", () => at("books", "**", "*.txt"), 500, 2],
    ["a list, each file once", () => [at("books", "a.txt"), at("books", "*.txt"), at("books", "b.md")], 300, 2],
    ["a link that the user names", () => at("books", "link.txt"), 1600, 1],
    ["a .gz", () => at("packed.txt.gz"), 5000, 1],
    ["plain and packed together", () => [at("packed.txt.gz"), at("books", "a.txt")], 5100, 2],
  ])("%s", async (_, paths, bytes, documents) => {
    const data = await text.open(paths(), options);
    expect([data.lengths.train, data.documents.train]).toEqual([bytes, documents]);
    expect(await tokensSeen(data)).toBe(data.windows() * 4);
  });

  test("the same files in the same order whatever the disk says", async () => {
    const data = await text.open(at("books"), { ...options, context: 350 });
    for await (const { tokens } of data.batches({ size: 1, steps: 1 })) expect(data.decode([tokens.at(349)])).toBe("c");
    await data.close();
  });

  test("windows that lie across files and pages", async () => {
    const parts = Array.from({ length: 300 }, (_, i) => String.fromCharCode(65 + (i % 26)).repeat(997));
    await mkdir(at("many"));
    await Promise.all(parts.map((part, i) => writeFile(at("many", String(i).padStart(4, "0")), part)));
    const whole = parts.join("");
    const data = await text.open(at("many"), { ...options, context: 2500 });
    for await (const { tokens } of data.batches({ size: 4, epochs: 1 }))
      for (let row = 0; row < 4; row++)
        expect(whole.includes(data.decode(tokens.data.subarray(row * 2500, (row + 1) * 2500) as Int32Array))).toBe(
          true,
        );
    await data.close();
  });

  test("unpacked files leave nothing behind once closed", async () => {
    const temporary = await mkdtemp(at("temporary-"));
    vi.stubEnv("TMPDIR", temporary);
    const data = await text.open(at("packed.txt.gz"), options);
    expect((await readdir(temporary)).length).toBe(1);
    await data.close();
    expect(await readdir(temporary)).toEqual([]);
    vi.unstubAllEnvs();
  });

  test("a sparse corpus of 8 GiB, at once and by position", async () => {
    await writeFile(at("huge.bin"), "");
    await truncate(at("huge.bin"), 8 * 2 ** 30);
    await appendFile(at("huge.bin"), "end");
    const before = process.memoryUsage().rss;
    const data = await text.open(at("huge.bin"), { ...options, context: 64 });
    expect(data.lengths.train).toBe(8 * 2 ** 30 + 3);
    for await (const { tokens } of data.batches({ size: 8, steps: 100 })) expect(tokens.size).toBe(512);
    expect(process.memoryUsage().rss - before).toBeLessThan(200 * 2 ** 20);
    await data.close();
  });
});

describe("refuses", () => {
  const error = (paths: string | string[], more: object = {}): Promise<unknown> =>
    text.open(paths, { ...options, ...more }).then(
      () => "opened",
      (reason: unknown) => reason,
    );

  test.each<[string, () => string | string[], object, RegExp]>([
    ["a missing file", () => at("none.txt"), {}, /none\.txt.*ENOENT/],
    ["a glob without matches", () => at("*.none"), {}, /no files in/],
    ["an empty list", () => [], {}, /no files in/],
    ["an empty file", () => at("empty.txt"), {}, /corpus is empty/],
    ["a pipe", () => at("pipe"), {}, /pipe or device/],
    ["what is not gzip", () => at("not.gz"), {}, /not\.gz: could not be unpacked/],
    ["a gzip cut short", () => at("cut.gz"), {}, /cut\.gz: could not be unpacked/],
    ["a gzip with a wrong checksum", () => at("crc.gz"), {}, /crc\.gz: could not be unpacked/],
    ["an empty .gz", () => at("empty.gz"), {}, /empty\.gz|corpus is empty/],
    [
      "bytes that are not UTF-8",
      () => at("latin1.txt"),
      { tokens: "characters" },
      /latin1\.txt, byte 7: not valid UTF-8/,
    ],
    ["an overlong form", () => at("overlong.txt"), { tokens: "characters" }, /overlong\.txt, byte 5/],
    ["a surrogate in UTF-8", () => at("surrogate.txt"), { tokens: "characters" }, /surrogate\.txt, byte 0/],
    ["a character cut by the end", () => at("half.txt"), { tokens: "characters" }, /half\.txt, byte 10/],
    [
      "a character over two files",
      () => [at("half.txt"), at("rest.txt")],
      { tokens: "characters" },
      /half\.txt|rest\.txt/,
    ],
  ])("%s", async (_, paths, more, message) => {
    await writeFile(at("empty.txt"), "");
    if (!existsSync(at("pipe"))) execFileSync("mkfifo", [at("pipe")]);
    await writeFile(at("not.gz"), "not gzip at all");
    const packed = gzipSync("z".repeat(5000));
    await writeFile(at("cut.gz"), packed.subarray(0, packed.length - 9));
    await writeFile(at("crc.gz"), Buffer.concat([packed.subarray(0, -8), Buffer.alloc(4), packed.subarray(-4)]));
    await writeFile(at("empty.gz"), "");
    await writeFile(at("latin1.txt"), Buffer.from("abcdef é und so weiter", "latin1"));
    await writeFile(at("overlong.txt"), Buffer.from([97, 97, 97, 97, 97, 0xc0, 0x80]));
    await writeFile(at("surrogate.txt"), Buffer.from([0xed, 0xa0, 0x80, 97, 97, 97]));
    await writeFile(at("half.txt"), Buffer.from([...Buffer.from("aaaaaaaaaa"), 0xe8, 0xaa]));
    await writeFile(at("rest.txt"), Buffer.from([0x9e, ...Buffer.from("aaaaaaaaaa")]));
    const reason = await error(paths(), more);
    expect(reason).toMatchObject({ code: "file" });
    expect(String(reason)).toMatch(message);
  });

  test("a gzip bomb, before it fills the disk", async () => {
    await writeFile(at("bomb.gz"), gzipSync(Buffer.alloc(100 * 2 ** 20)));
    expect(String(await error(at("bomb.gz")))).toMatch(/bomb\.gz.*gzip bomb/);
  });

  test("a file that shrinks while it is read, with its name", async () => {
    await writeFile(at("shrinks.txt"), "x".repeat(200_000));
    const data = await text.open(at("shrinks.txt"), options);
    await truncate(at("shrinks.txt"), 10);
    const read = async (): Promise<void> => {
      for await (const _ of data.batches({ size: 8, steps: 2 }));
    };
    await expect(read()).rejects.toThrow(/shrinks\.txt: ends at byte/);
    await data.close();
  });

  test.skipIf(process.getuid?.() === 0)("a file without permission", async () => {
    await writeFile(at("locked.txt"), "x".repeat(100));
    await chmod(at("locked.txt"), 0);
    expect(String(await error(at("locked.txt")))).toMatch(/EACCES/);
  });
});

import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { progressBar } from "../../src/cli/progress.js";
import { registerTokenizer } from "../../src/cli/tokenizer.js";
import { Screen } from "../support/screen.js";

const corpus = fileURLToPath(new URL("../golden/tokenizers/text.txt", import.meta.url));
let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tokenizer-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** What the command prints. */
async function run(...args: string[]): Promise<string> {
  const program = new Command().exitOverride();
  registerTokenizer(program);
  let output = "";
  const write = vi.spyOn(process.stdout, "write").mockImplementation((chunk) => {
    output += String(chunk);
    return true;
  });
  try {
    await program.parseAsync(["tokenizer", ...args], { from: "user" });
  } finally {
    write.mockRestore();
  }
  return output;
}

describe("layerwise tokenizer", () => {
  test("train writes what encode reads", async () => {
    const output = join(folder, "own");
    const special = ["--special", "<|endoftext|>", "<|pad|>"];
    const printed = await run("train", corpus, "--vocabulary", "1000", "--output", output, ...special);
    expect(printed).toMatch(/^1,000 tokens \(0\.0 MB in .* MB\/s\)\nwritten to .*own\n$/);
    const { merges, samples } = JSON.parse(await readFile(join(corpus, "..", "gpt2.json"), "utf8")) as {
      merges: [string, string][];
      samples: [string, number[]][];
    };
    const file = JSON.parse(await readFile(join(output, "tokenizer.json"), "utf8")) as { model: { merges: unknown } };
    expect(file.model.merges).toEqual(merges);
    const [sample, ids] = samples.at(-1) as [string, number[]];
    const lines = (await run("encode", output, sample)).trimEnd().split("\n");
    expect(lines.slice(0, -1).map((line) => Number.parseInt(line, 10))).toEqual(ids);
    expect(lines).toContain("  0  <|endoftext|>");
    expect(lines.at(-1)).toBe(`${ids.length} tokens for ${sample.length} bytes`);
  });

  test("train says when the text repeats too little", async () => {
    await writeFile(join(folder, "short.txt"), "abc abc");
    const printed = await run("train", join(folder, "short.txt"), "--output", join(folder, "short"));
    expect(printed).toContain("; the text repeats too little for 8,192 (");
  });

  test("train names the file and byte that is not UTF-8, and writes nothing", async () => {
    await writeFile(join(folder, "bad.txt"), Buffer.from([0x61, 0xff]));
    await expect(run("train", join(folder, "bad.txt"), "--output", join(folder, "bad"))).rejects.toThrow(
      /bad\.txt, byte 1: not valid UTF-8/,
    );
    await expect(readFile(join(folder, "bad", "tokenizer.json"))).rejects.toThrow("ENOENT");
  });
});

describe("the progress bar", () => {
  test("stays on one line, never wraps, and is gone at the end", () => {
    const screen = new Screen(40);
    let time = 0;
    const now = (): number => {
      time += 1000;
      return time;
    };
    const bar = progressBar({ stream: screen, live: true, columns: () => 40, now });
    bar.show(0.5, "5 of 10 tokens and more words than there is room for");
    bar.show(1, "10 of 10");
    expect(screen.lines.filter((line) => line.trim() !== "")).toEqual([`${"█".repeat(17)}  10 of 10`]);
    bar.close();
    bar.close();
    expect(screen.lines.filter((line) => line.trim() !== "")).toEqual([]);
  });

  test("writes nothing where there is no terminal", () => {
    const write = vi.fn();
    const bar = progressBar({ stream: { write }, live: false, columns: () => 80 });
    bar.show(0.5, "half");
    bar.close();
    expect(write).not.toHaveBeenCalled();
  });
});

/** `layerwise chat` with lines from a pipe. */
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { bundle } from "../support/child.js";

const root = join(import.meta.dirname, "../..");
const main = await bundle(join(root, "src/cli/main.ts"));
afterAll(() => rmSync(main));

const chat = (...lines: string[]) => {
  const args = [main, "chat", join(root, "test/golden/checkpoints/llama-chat"), "--max-new-tokens", "2"];
  return spawnSync(process.execPath, args, { input: lines.map((line) => `${line}\n`).join(""), encoding: "utf8" });
};

it("goes on beyond the context and forgets the oldest exchanges, a context of 64 tokens here", () => {
  const [alone, many] = [chat("2+2"), chat("2+2", "3+1", "1+1", "2+2")];
  expect(alone.stderr).toBe("");
  expect(many.status, many.stderr).toBe(0);
  expect(many.stderr).toContain("the beginning of this chat is forgotten");
  // Every line is answered, the first as if it were alone.
  expect(many.stdout.trimEnd().split("\n").length).toBeGreaterThanOrEqual(4);
  expect(many.stdout.startsWith(alone.stdout.trimEnd())).toBe(true);
});

it("a single message that does not fit is an error that says so", () => {
  const { status, stderr } = chat("2+2 ".repeat(100));
  expect(status).toBe(1);
  expect(stderr).toMatch(/the model's context is 64; shorten the prompt/);
});

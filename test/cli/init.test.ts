import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command } from "commander";
import { afterAll, beforeAll, expect, test } from "vitest";
import { registerInit } from "../../src/cli/init.js";
import { configTemplate, templates } from "../../src/train/config-template.js";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "init-"));
});
afterAll(() => rm(folder, { recursive: true }));

const init = async (...args: string[]): Promise<void> => {
  const program = new Command().exitOverride().configureOutput({ writeErr: () => undefined });
  registerInit(program);
  for (const command of program.commands) command.exitOverride().configureOutput({ writeErr: () => undefined });
  await program.parseAsync(["init", ...args], { from: "user" });
};

test("writes the template asked for", async () => {
  const path = join(folder, "chars.yaml");
  await init(path, "--template", "chars");
  expect(await readFile(path, "utf8")).toBe(configTemplate(templates.chars));
});

test("leaves a file that is there alone, unless told", async () => {
  const path = join(folder, "mine.yaml");
  await writeFile(path, "seed: 1\n");
  await expect(init(path)).rejects.toMatchObject({ code: "file", message: expect.stringContaining("--force") });
  expect(await readFile(path, "utf8")).toBe("seed: 1\n");
  await init(path, "--force");
  expect(await readFile(path, "utf8")).toBe(configTemplate(templates.lm));
});

test("a folder that is not there and a template that does not exist are errors", async () => {
  await expect(init(join(folder, "none", "a.yaml"))).rejects.toMatchObject({ code: "file" });
  await expect(init(join(folder, "b.yaml"), "--template", "vision")).rejects.toThrow(/lm, chars, finetune/);
});

/** The example of every paper is checked by the compiler and run, as a reader would. */
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { papers } from "../../src/catalogue/index.js";

const root = join(import.meta.dirname, "../..");
const execute = promisify(execFile);
const done = papers.filter(({ state }) => state === "done");

let folder: string;
beforeAll(() => {
  mkdirSync(join(root, "runs"), { recursive: true });
  // Inside the package, so that programs find it by its name.
  folder = mkdtempSync(join(root, "runs/papers-"));
  for (const { id, example = "" } of done)
    for (const ending of ["mts", "mjs"]) writeFileSync(join(folder, `${id}.${ending}`), example);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("the page of a paper", () => {
  it("has an example that the compiler accepts", async () => {
    const compiler = join(root, "node_modules/typescript/bin/tsc");
    const strict = ["--ignoreConfig", "--noEmit", "--strict", "--skipLibCheck", "--types", "node"];
    const target = ["--target", "es2022", "--module", "nodenext"];
    const files = done.map(({ id }) => `${id}.mts`);
    const { stdout } = await execute(process.execPath, [compiler, ...strict, ...target, ...files], { cwd: folder });
    expect(stdout).toBe("");
  });

  it("has an example that runs", async () => {
    const main = done.map(({ id }) => `await import("./${id}.mjs");\nconsole.log("ran ${id}");`).join("\n");
    writeFileSync(join(folder, "main.mjs"), main);
    const { stdout } = await execute(process.execPath, ["main.mjs"], { cwd: folder });
    for (const { id } of done) expect(stdout).toContain(`ran ${id}\n`);
  });

  it.each(done.map(({ id }) => id))("of %s is there, with its docstring and its citation", (id) => {
    const page = readFileSync(join(root, `docs/papers/${id}.md`), "utf8");
    for (const heading of ["When to use it", "How", "What it computes", "What we measured", "Citation"])
      expect(page).toContain(`\n## ${heading}\n`);
    expect(page).toMatch(/Source: "/);
  });
});

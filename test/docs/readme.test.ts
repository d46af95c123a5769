/** The README's code runs, block after block, as one program; its other commands exist. */
import { spawn } from "node:child_process";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";

const root = join(import.meta.dirname, "../..");
// Inside the package, so that it finds itself by its name.
const folder = join(root, "runs/readme-test");
afterAll(() => rm(folder, { recursive: true, force: true }));

const readme = await readFile(join(root, "README.md"), "utf8");
const blocks = [...readme.matchAll(/^```ts\n(.*?)^```/gms)].map(([, code]) => code as string);

function run(args: readonly string[], cwd: string): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, args, { cwd });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (chunk: Buffer) => {
        output += String(chunk);
      });
    child.on("exit", (code) => resolve({ code, output }));
  });
}

it("every block runs, one after the other", async () => {
  expect(blocks.length).toBeGreaterThan(2);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "corpus.txt"), "the quick brown fox jumps over the lazy dog. ".repeat(400));
  // `batch` of the later blocks is the loop's; a few steps are enough.
  const [first = "", ...rest] = blocks;
  const program = `${first.replace(/steps: \d+/, "steps: 3")}\nconst batch = (await data.batches({ size: 8, steps: 1 })[Symbol.asyncIterator]().next()).value;\n${rest.join("\n")}\nconsole.log(Object.keys(observed).join());`;
  await writeFile(join(folder, "program.mjs"), program);
  const { code, output } = await run(["program.mjs"], folder);
  expect(code, output).toBe(0);
  expect(output).toMatch(/^\d+\.\d+\n\d+\.\d+\n\d+\.\d+\n/);
  expect(output).toContain("total");
  expect(output).toContain("model.layers.0.mlp:out,model.layers.1.mlp:out");
});

it("every command of its table is a command", async () => {
  const { output } = await run([join(root, "dist/cli/main.js"), "--help"], root);
  const commands = [...readme.matchAll(/^\| `layerwise (\w+)/gm)].map(([, name]) => name as string);
  expect(commands.length).toBeGreaterThan(3);
  for (const command of commands) expect(output).toMatch(new RegExp(`^ {2}${command}\\b`, "m"));
});

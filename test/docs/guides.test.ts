/** The guides are followed to the letter: files are written, commands run in a shell, programs run, in their order. */
import { spawn } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { afterAll, expect, it } from "vitest";

const root = join(import.meta.dirname, "../..");
mkdirSync(join(root, "runs"), { recursive: true });
// Inside the package, so that programs find it by its name.
const scratch = mkdtempSync(join(root, "runs/guides-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
const bin = join(scratch, "bin");
mkdirSync(bin);
writeFileSync(
  join(bin, "layerwise"),
  `#!/bin/sh\nexec "${process.execPath}" "${join(root, "dist/cli/main.js")}" "$@"\n`,
);
chmodSync(join(bin, "layerwise"), 0o755);

interface Block {
  readonly language: string;
  readonly file: string | undefined;
  readonly text: string;
}

const blocksOf = (path: string): Block[] =>
  [...readFileSync(path, "utf8").matchAll(/^```(\w+)(?: file=(\S+))?\n(.*?)^```/gms)].map(
    ([, language = "", file, text = ""]) => ({ language, file, text }),
  );

function run(command: string, args: readonly string[], cwd: string): Promise<{ code: number | null; output: string }> {
  const env = { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH}` };
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd, env });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (chunk: Buffer) => {
        output += String(chunk);
      });
    child.on("exit", (code) => resolve({ code, output }));
  });
}

/** A few steps are enough to see that all works. */
const shortened = (text: string): string =>
  text.replace(/(max_steps: |steps: )\d+/g, "$14").replace("warmup_steps: 4", "warmup_steps: 1");

/** Gives the output of every block that ran. */
async function follow(guide: string, folder: string): Promise<string[]> {
  const outputs: string[] = [];
  for (const [i, { language, file, text }] of blocksOf(join(root, "docs", guide)).entries()) {
    if (file) writeFileSync(join(folder, file), shortened(text));
    else if (language === "sh") outputs.push(await succeed("bash", ["-euc", text], folder));
    else if (language === "ts") {
      writeFileSync(join(folder, `program-${i}.mjs`), shortened(text));
      outputs.push(await succeed(process.execPath, [`program-${i}.mjs`], folder));
    } else expect.fail(`${guide}: a block of "${language}" is neither run nor written to a file`);
  }
  return outputs;
}

async function succeed(command: string, args: readonly string[], cwd: string): Promise<string> {
  const { code, output } = await run(command, args, cwd);
  expect(code, `${args.join(" ")}\n${output}`).toBe(0);
  return output;
}

function workFolder(name: string): string {
  const folder = join(scratch, name);
  mkdirSync(folder);
  writeFileSync(join(folder, "corpus.txt"), "the quick brown fox jumps over the lazy dog. ".repeat(400));
  cpSync(join(root, "test/golden/checkpoints/llama-chat"), join(folder, "models/tiny-chat"), { recursive: true });
  return folder;
}

it("train a language model", async () => {
  const folder = workFolder("train");
  const outputs = await follow("train-a-language-model.md", folder);
  const all = outputs.join("\n");
  expect(all).toContain("4 layers, width 128");
  expect(all).toMatch(/bits per byte +\d\.\d+/);
  expect(readdirSync(join(folder, "my-model"))).toContain("model.safetensors");
  expect(readdirSync(join(folder, "web/model/onnx")).sort()).toEqual([
    "model.onnx",
    "model_q4.onnx",
    "model_quantized.onnx",
  ]);
});

it("fine-tune a checkpoint", async () => {
  const folder = workFolder("tune");
  const outputs = await follow("fine-tune-a-checkpoint.md", folder);
  expect(outputs[0]).toContain("chat template  yes");
  expect(readdirSync(join(folder, "my-adapter")).sort()).toContain("adapter_model.safetensors");
  expect(readdirSync(join(folder, "models/tuned"))).toContain("tokenizer.json");
  expect(readdirSync(join(folder, "web/tuned/onnx"))).toEqual(["model_q4.onnx"]);
});

/**
 * The guides are followed to the letter: files are written, commands run in a shell, programs are checked and run, in
 * their order.
 */
import { spawn } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { transformSync } from "esbuild";
import { afterAll, expect, it } from "vitest";
import { TextGenerator } from "../../src/applications/text-generation.js";
import { chromium, withBrowser } from "../support/browser.js";

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
  const path = [bin, join(root, "node_modules/.bin"), process.env.PATH].join(delimiter);
  const env = { ...process.env, PATH: path };
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
  text.replace(/(steps: |max_steps=)\d+/g, "$14").replace("warmup_steps: 4", "warmup_steps: 1");

/** Gives the output of every block that ran. Programs are checked by the compiler first, all at once. */
async function follow(guide: string, folder: string, edit: (text: string) => string): Promise<string[]> {
  const blocks = blocksOf(join(root, "docs", guide)).map((block, i) => ({ ...block, text: edit(block.text), i }));
  const programs = blocks.filter(({ language, file }) => language === "ts" && (!file || file.endsWith(".ts")));
  for (const { file, text, i } of programs) writeProgram(join(folder, file ?? `program-${i}.mts`), text);
  if (programs.length > 0)
    await checkTypes(
      programs.map(({ file, i }) => file ?? `program-${i}.mts`),
      folder,
    );
  const outputs: string[] = [];
  for (const { language, file, text, i } of blocks) {
    if (language === "text" || file?.endsWith(".ts")) continue;
    if (file) writeFileSync(join(folder, file), text);
    else if (language === "sh") outputs.push(await succeed("bash", ["-euo", "pipefail", "-c", text], folder));
    else if (language === "ts") outputs.push(await succeed(process.execPath, [`program-${i}.mjs`], folder));
    else expect.fail(`${guide}: a block of "${language}" is neither run nor written to a file`);
  }
  return outputs;
}

/** TypeScript, and the JavaScript of it that is run. */
function writeProgram(path: string, code: string): void {
  writeFileSync(path, code);
  const { code: plain } = transformSync(code, { loader: "ts", target: "es2022" });
  writeFileSync(path.replace(/ts$/, "js"), plain);
}

/** By the compiler, against the package's types, as a reader's would. */
async function checkTypes(files: readonly string[], folder: string): Promise<void> {
  const compiler = join(root, "node_modules/typescript/bin/tsc");
  const options = [
    "--ignoreConfig",
    "--noEmit",
    "--strict",
    "--skipLibCheck",
    "--target",
    "es2022",
    "--module",
    "nodenext",
  ];
  await succeed(process.execPath, [compiler, ...options, "--types", "node", ...files], folder);
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
  writeFileSync(join(folder, "held-out.txt"), "the lazy dog jumps over the quick brown fox. ".repeat(40));
  cpSync(join(root, "test/golden/checkpoints/llama-chat"), join(folder, "models/tiny-chat"), { recursive: true });
  return folder;
}

it("train a language model", async () => {
  const folder = workFolder("train");
  const outputs = await follow("train-a-language-model.md", folder, shortened);
  const all = outputs.join("\n");
  expect(all).toContain("4 layers, width 128");
  expect(all.match(/bits per byte +\d+\.\d+/g)).toHaveLength(2);
  expect(all).toMatch(/^4 \d+\.\d+\nthe ./m);
  expect(readdirSync(join(folder, "my-model"))).toEqual(
    expect.arrayContaining(["config.json", "model.safetensors", "tokenizer.json"]),
  );
  expect(readdirSync(join(folder, "web/model/onnx")).sort()).toEqual([
    "model.onnx",
    "model_q4.onnx",
    "model_quantized.onnx",
  ]);
});

it("fine-tune a checkpoint", async () => {
  const folder = workFolder("tune");
  // The model is so small that all steps are taken, and the answers are those of the examples.
  const outputs = await follow("fine-tune-a-checkpoint.md", folder, (text) => text);
  const [info = "", train = "", chat = "", measured = "", program = ""] = outputs;
  expect(info).toContain("chat template  yes");
  expect(train).toContain("/adapter\n");
  expect(chat).toBe("4\n\n");
  expect(measured.match(/accuracy +\S+/g)?.at(-1)).toMatch(/ 100\.0$/);
  expect(program).toMatch(/^200 \d+\.\d+\n4\n$/m);
  expect(readdirSync(join(folder, "models/tuned"))).toContain("tokenizer.json");
  expect(readdirSync(join(folder, "web/tuned/onnx"))).toEqual(["model_q4.onnx"]);
});

it("look inside it", async () => {
  const folder = workFolder("look");
  for (const name of ["encoder.onnx", "inputs.safetensors"])
    cpSync(join(root, "test/golden/onnx", name), join(folder, name));
  const outputs = await follow("look-inside-it.md", folder, (text) => text);
  const [list = "", activations = "", statistics = "", gradients = "", attention = "", lens = "", , foreign = ""] =
    outputs;
  expect(list).toMatch(/^model\.layers\.\*\.mlp +output/m);
  expect(activations).toContain("model.layers.1.mlp:out[0, -1]  float32[32]");
  expect(activations).toContain("model.layers.0.mlp.up_proj.weight  float32[48, 32]");
  expect(statistics).toMatch(/tokens exceed the model's context[\s\S]*^model\.layers\.1\.mlp:out/m);
  expect(gradients).toContain("grad(model.layers.1.mlp.down_proj.weight)");
  expect(attention).toMatch(/^<\|begin_of_… █$/m);
  expect(lens).toMatch(/^layer 1 /m);
  expect(readdirSync(folder)).toEqual(
    expect.arrayContaining(["look.html", "look.safetensors", "look.csv", "tapped.onnx"]),
  );
  expect(foreign).toMatch(/^\/layers\.0\/Softmax_output_0 {2}float32\[1, 8, 8\]$/m);
  expect(outputs.at(-1)).toContain("/layers.0/Softmax_output_0 [ 2, 5, 5 ]");
});

it("install, and a first program", async () => {
  const folder = workFolder("first");
  // The registry is left out: what `npm install` would put there is linked. scripts/check-pack.js installs for real.
  const npm = join(bin, "npm");
  writeFileSync(
    npm,
    `#!/bin/sh
case "$1" in
install)
  shift && mkdir -p node_modules && ln -s "${root}" node_modules/layerwise &&
  for name; do test -e "node_modules/$name" || ln -s "${root}/node_modules/$name" "node_modules/$name"; done ;;
*) PATH="${process.env.PATH}" exec npm "$@" ;;
esac
`,
  );
  chmodSync(npm, 0o755);
  const outputs = await follow("first-program.md", folder, (text) => text);
  rmSync(npm);
  const [, circle = "", used = "", onWasm = ""] = outputs;
  expect(circle).toMatch(/^50 0\.\d+\n100 0\.\d+\n150 0\.\d+\n200 0\.0\d+\n25\d of 256 right\n$/);
  for (const output of [used, onWasm])
    expect(output).toMatch(/^\[\n {2}\[ \d\S*(?:e-\d+|0\.0\d+), 0\.9\d+ \],\n {2}\[ 0\.9/m);
  const files = ["circle", "use"];
  for (const name of files) cpSync(join(folder, `${name}.js`), join(folder, `${name}.mts`));
  await checkTypes(
    files.map((name) => `${name}.mts`),
    folder,
  );
});

/** What a guide says that its programs print: the comments behind or below what prints, up to a semicolon. */
const promised = (guide: string): string[] =>
  blocksOf(join(root, "docs", guide))
    .filter(({ language }) => language === "ts")
    .flatMap(({ text }) => [...text.matchAll(/(?:console\.log|show)\(.*\);?\s(?:\}\n)*((?:\/\/ .*\n)+)/g)])
    .map(([, comment = ""]) => squeezed(comment.replace(/^\/\/ /gm, "").replace(/;.*/s, "")));

const squeezed = (text: string): string => text.replace(/\s+/g, " ").trim();

it.each([
  ["concepts.md", 13],
  ["write-an-operation.md", 5],
  ["write-a-module.md", 4],
  ["write-a-norm.md", 4],
  ["write-a-placement.md", 4],
])("%s: every program runs and prints what it says", async (guide, count) => {
  const outputs = squeezed((await follow(guide, workFolder(guide), (text) => text)).join("\n"));
  expect(promised(guide)).toHaveLength(count);
  for (const said of promised(guide)) expect(outputs).toContain(said);
});

it.runIf(chromium)("ship it to a web page", async () => {
  const folder = workFolder("page");
  mkdirSync(join(folder, "web"));
  // As in a project of its own, where the package is installed and no paths lead to its sources.
  writeFileSync(join(folder, "tsconfig.json"), "{}");
  writeFileSync(join(folder, "package.json"), `{"type":"module"}`);
  for (const name of ["package.json", "dist"])
    cpSync(join(root, name), join(folder, "node_modules/layerwise", name), { recursive: true });
  await follow("ship-it-to-a-web-page.md", folder, (text) => text);
  for (const name of ["index.html", "main.js", "copy-runtime.mjs", "serve.mjs"])
    expect(readFileSync(join(folder, "web", name), "utf8"), name).toBe(
      readFileSync(join(root, "examples/web-page", name), "utf8"),
    );
  const expected = await TextGenerator.open(join(folder, "models/tiny-chat"));
  const { text } = await expected.complete("2+2", { maxNewTokens: 60, temperature: 0 });
  await expected.release();
  const server = spawn(process.execPath, ["web/serve.mjs"], { cwd: folder, env: { ...process.env, PORT: "0" } });
  try {
    const address = await new Promise<string>((resolve) =>
      server.stdout.once("data", (line) => resolve(String(line).trim())),
    );
    await withBrowser(async (page) => {
      const problems: string[] = [];
      page.on("pageerror", (error) => problems.push(String(error)));
      await page.goto(address);
      const written = async (engine: string) => {
        await page.selectOption("#engine", engine);
        await page.click("#go");
        await page.waitForFunction(() =>
          /Done|wrong|cannot|not/.test(document.querySelector("#status")?.textContent ?? ""),
        );
        expect(await page.textContent("#status")).toMatch(/^Done in/);
        return (await page.textContent("#text")) ?? "";
      };
      // By the library the same text as in Node; by the other one from weights of 8 bits.
      expect(await written("layerwise")).toBe(`2+2${text}`);
      expect((await written("transformers")).startsWith("2+2")).toBe(true);
      expect((await page.textContent("#text"))?.length).toBeGreaterThan(3);
      // By keyboard alone: the form is sent, and stopped.
      expect(await page.getByRole("button", { name: "Stop" }).isDisabled()).toBe(true);
      await page.route("**/config.json", (route) => route.fulfill({ status: 503 }));
      await page.reload();
      await page.selectOption("#engine", "layerwise");
      await page.click("#go");
      await page.waitForSelector("#status.wrong");
      expect(await page.textContent("#status")).toMatch(/config\.json: the server answers 503/);
      expect(problems).toEqual([]);
    });
  } finally {
    server.kill();
  }
});

/** What a page must load: a bundler leaves out what a program does not use. */
import { join } from "node:path";
import { build } from "esbuild";
import { expect, it } from "vitest";

const source = join(import.meta.dirname, "../../src");

async function bundled(program: string): Promise<string[]> {
  const { metafile } = await build({
    stdin: { contents: program, resolveDir: source, loader: "ts" },
    alias: { "#host": join(source, "runtime/host-browser.ts") },
    ...{ bundle: true, format: "esm", platform: "browser", target: "es2022", write: false, metafile: true },
  });
  const [output] = Object.values(metafile.outputs);
  return Object.entries(output?.inputs ?? {}).flatMap(([path, { bytesInOutput }]) => (bytesInOutput > 0 ? [path] : []));
}

it("a page that trains a model carries no tokenizer, no decoder of images, no schemas of files", async () => {
  const files = await bundled(
    `import { compile, grad, nn, optim } from "./browser.js"; console.log(compile, grad, nn.gpt, optim.adamW);`,
  );
  expect(files.filter((path) => /node_modules\/(zod|@huggingface|jpeg-js|fast-png)/.test(path))).toEqual([]);
  expect(files.some((path) => path.endsWith("src/tensor/convolution.ts"))).toBe(true); // tensors have all their methods
});

it("a page that reads text and images carries what it needs for them", async () => {
  const files = await bundled(
    `import { fetchPretrained, images, Tokenizer } from "./browser.js"; console.log(fetchPretrained, images, Tokenizer);`,
  );
  for (const name of ["@huggingface/tokenizers", "jpeg-js"])
    expect(
      files.some((path) => path.includes(`node_modules/${name}`)),
      name,
    ).toBe(true);
});

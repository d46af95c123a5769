// The engine's WebAssembly goes beside the page: layerwise's and transformers.js's, which may be of two versions.
import { cpSync, mkdirSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

for (const [name, folder] of [
  ["layerwise", "ort"],
  ["@huggingface/transformers", "ort-transformers"],
]) {
  const library = createRequire(import.meta.url).resolve(name);
  const from = dirname(createRequire(library).resolve("onnxruntime-web"));
  const to = join(import.meta.dirname, folder);
  mkdirSync(to, { recursive: true });
  for (const file of readdirSync(from).filter((file) => /^ort-wasm-.*\.(mjs|wasm)$/.test(file)))
    cpSync(join(from, file), join(to, file));
}

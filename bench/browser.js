/** A page of this machine's Chromium that runs the residual network by us and by TensorFlow.js, each from an empty page. */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { build } from "esbuild";
import { chromium as driver } from "playwright-core";

const root = join(import.meta.dirname, "..");
const chromium = [
  process.env.CHROMIUM_PATH,
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
].find((path) => path && existsSync(path));

const ours = (size) => `
  import { compile, inference, nn, normalArray, setWasmPaths } from "layerwise";
  globalThis.run = async (runs) => {
    const begun = performance.now();
    setWasmPaths(location.origin + "/ort/");
    const model = nn.cifarResNet({ depth: 20, classes: ${size.classes} });
    const program = compile(({ x }) => ({ y: inference(() => model.apply(x)) }));
    const x = normalArray({ seed: 0, site: "x" }, [${size.batch}, 3, ${size.size}, ${size.size}]);
    await program({ x });
    const start = performance.now() - begun;
    const times = [];
    for (let i = 0; i < runs; i++) {
      const from = performance.now();
      await program({ x });
      times.push(performance.now() - from);
    }
    return { start, times };
  };`;

const theirs = (size) => `
  import * as tf from "@tensorflow/tfjs-core";
  import { setThreadsCount, setWasmPaths } from "@tensorflow/tfjs-backend-wasm";
  import { tasks } from ${JSON.stringify(join(root, "bench/peers/tfjs-vision.js"))};
  globalThis.run = async (runs) => {
    const begun = performance.now();
    setWasmPaths(location.origin + "/tfjs/");
    setThreadsCount(navigator.hardwareConcurrency);
    await tf.setBackend("wasm");
    await tf.ready();
    const prepared = performance.now() - begun;
    const { first, times } = await tasks(tf).infer("resnet20", ${JSON.stringify(size)}, ${size.batch}, runs);
    return { start: prepared + first, times };
  };`;

async function bundled(contents, resolveDir, alias = {}) {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir, loader: "js" },
    ...{ bundle: true, format: "esm", platform: "browser", target: "es2022", write: false, logLevel: "error", alias },
  });
  return outputFiles[0].text;
}

/** Undefined where there is no browser. */
export async function openPage(tfjs, size) {
  if (!chromium) return undefined;
  const scripts = {
    ours: await bundled(ours(size), root, {
      layerwise: join(root, "dist/browser.js"),
      "#host": join(root, "dist/runtime/host-browser.js"),
    }),
    theirs: await bundled(theirs(size), tfjs),
  };
  const folders = {
    ort: join(root, "node_modules/onnxruntime-web/dist"),
    tfjs: join(tfjs, "node_modules/@tensorflow/tfjs-backend-wasm/dist"),
  };
  const headers = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };
  const server = createServer(async ({ url = "/" }, response) => {
    const [, first = "", name] = /^\/(\w+)\/([\w./-]+)$/.exec(url.replace(/\?.*/, "")) ?? [];
    const side = url.slice(1).replace(".html", "");
    const type = url.endsWith("js") ? "text/javascript" : url.endsWith(".wasm") ? "application/wasm" : "text/html";
    const body = name
      ? await readFile(join(folders[first] ?? "", name)).catch(() => undefined)
      : url.endsWith(".js")
        ? scripts[url.slice(1, -3)]
        : `<!doctype html><link rel=icon href=data:,><script type=module src=/${side}.js></script>`;
    response.writeHead(body === undefined ? 404 : 200, { ...headers, "Content-Type": type }).end(body);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const browser = await driver.launch({ executablePath: chromium, args: ["--no-sandbox", "--no-first-run"] });
  return {
    /** On a page of its own: nothing is loaded or compiled yet. */
    async run(side) {
      const page = await browser.newPage();
      try {
        await page.goto(`http://127.0.0.1:${server.address().port}/${side}.html`);
        await page.waitForFunction(() => globalThis.run !== undefined);
        return await page.evaluate(() => globalThis.run(10));
      } finally {
        await page.close();
      }
    },
    async close() {
      await browser.close();
      server.close();
    },
  };
}

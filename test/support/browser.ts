/** The suite of backends in a real browser: bundled for it, served from this machine, driven headless. */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { build } from "esbuild";
import { chromium as driver } from "playwright-core";
import type { BackendName, Result, SuiteInput } from "../backends/suite.js";

const root = join(import.meta.dirname, "../..");

/** The browser of this machine, or undefined. */
export const chromium = [
  process.env.CHROMIUM_PATH,
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
].find((path) => path !== undefined && existsSync(path));

const flags = [
  "--no-sandbox",
  "--disable-gpu-sandbox",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-first-run",
];
const webgpuFlags = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan"];

async function bundled(): Promise<string> {
  const { outputFiles } = await build({
    stdin: {
      contents: `import * as library from "./src/browser.ts"; import { setWasmPaths } from "./src/runtime/host-browser.ts"; import { runSuite } from "./test/backends/suite.ts";
        setWasmPaths(location.origin + "/ort/");
        globalThis.suite = (backend, input) => runSuite(library, backend, input);`,
      resolveDir: root,
      loader: "ts",
    },
    bundle: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    alias: { "#host": join(root, "src/runtime/host-browser.ts") },
    write: false,
    logLevel: "error",
  });
  return (outputFiles[0] as { text: string }).text;
}

/** Cross-origin isolated, so that WebAssembly has threads. */
const headers = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

export async function browserSuite(backend: BackendName, input: SuiteInput): Promise<Result[]> {
  const script = await bundled();
  const server = createServer(async ({ url = "/" }, response) => {
    const [, name] = /^\/ort\/([\w.-]+)$/.exec(url) ?? [];
    const type = url.endsWith("js") ? "text/javascript" : url.endsWith(".wasm") ? "application/wasm" : "text/html";
    const body = name
      ? await readFile(join(root, "node_modules/onnxruntime-web/dist", name)).catch(() => undefined)
      : url === "/suite.js"
        ? script
        : "<!doctype html><script type=module src=/suite.js></script>";
    response.writeHead(body === undefined ? 404 : 200, { ...headers, "Content-Type": type }).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const browser = await driver.launch({
    executablePath: chromium as string,
    args: [...flags, ...(backend === "webgpu" ? webgpuFlags : [])],
  });
  try {
    const page = await browser.newPage();
    const log: string[] = [];
    page.on("console", (message) => log.push(message.text()));
    page.on("pageerror", (error) => log.push(String(error)));
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    // A WebGPU run that falls back to something else would prove nothing.
    if (backend === "webgpu" && !(await page.evaluate(`navigator.gpu?.requestAdapter().then(Boolean)`)))
      throw new Error("this Chromium offers no WebGPU adapter");
    await page.waitForFunction(`typeof suite === "function"`).catch(() => {
      throw new Error(`the page did not load: ${log.join("\n")}`);
    });
    return (await page.evaluate(`suite(${JSON.stringify(backend)}, ${JSON.stringify(input)})`)) as Result[];
  } finally {
    await browser.close();
    server.close();
  }
}

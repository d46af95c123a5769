/** The library in a real browser: bundled as a user's bundler would, served from this machine, driven headless. */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { build } from "esbuild";
import { chromium as driver, type Page } from "playwright-core";

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

/** What the package's condition "browser" names, as sources rather than as built. */
async function browserSources(): Promise<{ readonly layerwise: string; readonly "#host": string }> {
  const { exports, imports } = JSON.parse(await readFile(join(root, "package.json"), "utf8")) as {
    readonly exports: { readonly ".": { readonly browser: string } };
    readonly imports: { readonly "#host": { readonly browser: string } };
  };
  const source = (built: string) => join(root, built.replace("./dist/", "src/").replace(/\.js$/, ".ts"));
  return { layerwise: source(exports["."].browser), "#host": source(imports["#host"].browser) };
}

/** A script of its own as a page's, bundled for browsers. */
export async function bundledScript(contents: string): Promise<string> {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: root, loader: "ts" },
    bundle: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    write: false,
    logLevel: "error",
  });
  return (outputFiles[0] as { text: string }).text;
}

/** The library as the global `library`, the suite as `suite(backend, input)`. An import from Node fails the build. */
export async function bundled(): Promise<string> {
  const { outputFiles } = await build({
    stdin: {
      contents: `import * as library from "layerwise"; import { runSuite } from "./test/backends/suite.ts";
        library.setWasmPaths(location.origin + "/ort/");
        Object.assign(globalThis, { library, suite: (backend, input) => runSuite(library, backend, input) });`,
      resolveDir: root,
      loader: "ts",
    },
    bundle: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    alias: await browserSources(),
    write: false,
    logLevel: "error",
  });
  return (outputFiles[0] as { text: string }).text;
}

/** A fresh page of the browser of this machine. */
export async function withBrowser<T>(task: (page: Page) => Promise<T>, extra: readonly string[] = []): Promise<T> {
  const browser = await driver.launch({ executablePath: chromium as string, args: [...flags, ...extra] });
  try {
    return await task(await browser.newPage());
  } finally {
    await browser.close();
  }
}

export interface PageOptions {
  readonly webgpu?: boolean;
  /** Served with the headers that give WebAssembly its threads (default true). */
  readonly isolated?: boolean;
  /** Folders that are served, too, by the first part of their address. */
  readonly folders?: Readonly<Record<string, string>>;
}

/** Runs a task on a page that has the script; `log` gathers what the page prints. */
export async function withPage<T>(
  script: string,
  { webgpu = false, isolated = true, folders = {} }: PageOptions,
  task: (page: Page, log: readonly string[]) => Promise<T>,
): Promise<T> {
  const headers = isolated
    ? { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" }
    : {};
  const server = createServer(async ({ url = "/" }, response) => {
    const served: Record<string, string> = { ort: join(root, "node_modules/onnxruntime-web/dist"), ...folders };
    const [, first = "", name] = /^\/(\w+)\/([\w./-]+)$/.exec(url.replace(/\?.*/, "")) ?? [];
    const folder = served[first];
    const type = url.endsWith("js") ? "text/javascript" : url.endsWith(".wasm") ? "application/wasm" : "text/html";
    const body = name
      ? folder && (await readFile(join(folder, name)).catch(() => undefined))
      : url === "/page.js"
        ? script
        : "<!doctype html><link rel=icon href=data:,><script type=module src=/page.js></script>";
    response.writeHead(body === undefined ? 404 : 200, { ...headers, "Content-Type": type }).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const browser = await driver.launch({
    executablePath: chromium as string,
    args: [...flags, ...(webgpu ? webgpuFlags : [])],
  });
  try {
    const page = await browser.newPage();
    const log: string[] = [];
    page.on("console", (message) => log.push(message.text()));
    page.on("pageerror", (error) => log.push(String(error)));
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    await page.waitForFunction(`typeof suite === "function"`).catch(() => {
      throw new Error(`the page did not load: ${log.join("\n")}`);
    });
    return await task(page, log);
  } finally {
    await browser.close();
    server.close();
  }
}

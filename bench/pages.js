/**
 * Pages of this machine's Chromium, headless. Every run is a page of a browser of its own: nothing is loaded, compiled or cached
 * yet, and one that crashes takes no other with it. All pages are laid out alike: a script that gives a step, which is called once and then some times more.
 */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { build } from "esbuild";
import { chromium as driver } from "playwright-core";
import { guarded, inTurns, median, ratio, summary } from "./statistics.js";

const root = join(import.meta.dirname, "..");
const chromium = [
  process.env.CHROMIUM_PATH,
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
].find((path) => path && existsSync(path));

export const noChromium = "no Chromium on this machine (CHROMIUM_PATH says where one is)";

const plain = ["--no-sandbox", "--no-first-run"];
/** On Linux a headless Chromium takes a GPU only if it is not to draw on a screen. */
const adapter = process.env.LAYERWISE_GPU
  ? ["--use-angle=vulkan", "--disable-vulkan-surface", "--ignore-gpu-blocklist"]
  : ["--use-webgpu-adapter=swiftshader"];
const flags = {
  wasm: plain,
  webgpu: [...plain, "--disable-gpu-sandbox", "--enable-unsafe-webgpu", "--enable-features=Vulkan", ...adapter],
};

/** The library as a page imports it, and where its engine lies. */
export const ours = {
  folder: root,
  alias: { layerwise: join(root, "dist/browser.js"), "#host": join(root, "dist/runtime/host-browser.js") },
  served: { ort: join(root, "node_modules/onnxruntime-web/dist") },
};

/** `source` defines `prepare`, an async function that gives the step; its imports are found from `folder`. */
async function bundled({ source, folder, alias = {} }) {
  const { outputFiles } = await build({
    stdin: {
      contents: `${source}
        import { measure } from ${JSON.stringify(join(root, "bench/peers/page.js"))};
        measure(prepare);`,
      resolveDir: folder,
      loader: "js",
    },
    ...{ bundle: true, format: "esm", platform: "browser", target: "es2022", write: false, logLevel: "error", alias },
  });
  return outputFiles[0].text;
}

/** Serves pages, scripts, and the folders of engines, with the headers that give WebAssembly its threads. */
async function serve(scripts, folders) {
  const headers = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };
  const server = createServer(async ({ url = "/" }, response) => {
    const [, first = "", name] = /^\/(\w+)\/([\w./-]+)$/.exec(url.replace(/\?.*/, "")) ?? [];
    const side = url.slice(1).replace(".html", "");
    const type = url.endsWith("js") ? "text/javascript" : url.endsWith(".wasm") ? "application/wasm" : "text/html";
    const body = name
      ? await readFile(join(folders[first] ?? "", name)).catch(() => undefined)
      : url.endsWith(".js")
        ? scripts[url.slice(1, -3)]
        : `<!doctype html><link rel=icon href=data:,><script>begun = performance.now()</script><script type=module src=/${side}.js></script>`;
    response.writeHead(body === undefined ? 404 : 200, { ...headers, "Content-Type": type }).end(body);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

/**
 * `sides`: by name, `{ source, folder, alias?, served? }`; `backend` decides how the browser is started. Undefined where there
 * is no browser.
 */
export async function openPages(sides, backend = "wasm") {
  if (!chromium) return undefined;
  const scripts = {};
  for (const [name, side] of Object.entries(sides)) scripts[name] = await bundled(side);
  const server = await serve(scripts, Object.assign({}, ...Object.values(sides).map(({ served }) => served)));
  const launch = () => driver.launch({ executablePath: chromium, args: flags[backend] });
  const first = await launch();
  const version = first.version();
  await first.close();
  return {
    version,
    /** `{ start, times }` in milliseconds, from the page's first script on, or `{ problem }`; in a browser of its own, which may crash. */
    async run(side, count) {
      const browser = await launch();
      try {
        return await runPage(browser, `http://127.0.0.1:${server.address().port}/${side}.html`, count);
      } finally {
        await browser.close();
      }
    },
    close: () => server.close(),
  };
}

const limit = 180_000;

async function runPage(browser, address, count) {
  const page = await browser.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(error.message));
  try {
    await page.goto(address);
    await page.waitForFunction(() => globalThis.measured !== undefined, undefined, { timeout: 30_000 });
    const late = new Promise((resolve) => setTimeout(resolve, limit, { problem: `not done after ${limit / 1000} s` }));
    return await Promise.race([page.evaluate((n) => globalThis.measured(n), count), late]);
  } catch (error) {
    return { problem: errors[0] ?? error.message.split("\n")[0] };
  }
}

/** Of each side `{ start, step, startRatio?, stepRatio? }`, ratios against the first one's, or `{ problem }`: one failure is enough. */
export async function pagesInTurns(pages, names, { turns, count, title }) {
  const once = async (name) => {
    const result = await pages.run(name, count);
    if (result.problem) throw new Error(result.problem);
    return result;
  };
  const { sides, problems } = guarded(Object.fromEntries(names.map((name) => [name, () => once(name)])));
  const runs = await inTurns(sides, turns, title);
  const starts = (name) => runs[name].map(({ start }) => start);
  const steps = (name) => runs[name].map(({ times }) => median(times));
  const [first] = names;
  return Object.fromEntries(
    names.map((name) => {
      if (problems[name]) return [name, { problem: problems[name] }];
      const own = { start: summary(starts(name)), step: summary(steps(name)) };
      if (name === first || problems[first]) return [name, own];
      const ratios = { startRatio: ratio(starts(name), starts(first)), stepRatio: ratio(steps(name), steps(first)) };
      return [name, { ...own, ...ratios }];
    }),
  );
}

#!/usr/bin/env node
/**
 * What a training in a page does while another tab is in front, in a real window: prints steps a second and whether the page
 * is visible. Needs Xvfb and Chromium (on Debian: apt-get install xvfb chromium). Not a test: a window takes its time.
 *
 *   npm run build && node scripts/hidden-tab.js [wasm|webgpu]
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { build } from "esbuild";

const root = join(import.meta.dirname, "..");
const backend = process.argv[2] ?? "wasm";
const [visible, hidden] = [16_000, 20_000];

const script = `
  import { compile, grad, NDArray, nn, normalArray, optim, setWasmPaths, training } from "layerwise";
  setWasmPaths(location.origin + "/ort/");
  const model = nn.cifarResNet({ depth: 8, classes: 10 });
  const optimizer = optim.adamW(model.parameters(), { learningRate: 1e-3 });
  const step = compile(({ x, labels }) => {
    const loss = nn.crossEntropy(training(() => model.apply(x)), labels);
    optimizer.update(grad(loss, model.parameters()));
    return { loss };
  }, { backend: ${JSON.stringify(backend)} });
  const x = normalArray({ seed: 0, site: "x" }, [8, 3, 16, 16]);
  const labels = NDArray.from(Int32Array.from({ length: 8 }, (_, i) => i), "int32");
  const report = (body) => fetch("/report", { method: "POST", body });
  for (let steps = 1, since = performance.now(), before = 0; ; steps++) {
    const { loss } = await step({ x, labels });
    const seconds = (performance.now() - since) / 1000;
    if (seconds < 2) continue;
    const rate = ((steps - before) / seconds).toFixed(1);
    await report(document.visibilityState + ": step " + steps + ", " + rate + " a second, loss " + loss.item().toFixed(4));
    [since, before] = [performance.now(), steps];
  }`;

const { outputFiles } = await build({
  stdin: { contents: script, resolveDir: root, loader: "js" },
  ...{ bundle: true, format: "esm", platform: "browser", target: "es2022", write: false, logLevel: "error" },
  alias: { layerwise: join(root, "dist/browser.js"), "#host": join(root, "dist/runtime/host-browser.js") },
});

/** [type, body] of an address. */
async function page(url) {
  if (url === "/page.js") return ["text/javascript", outputFiles[0].text];
  if (url === "/other") return ["text/html", "<title>another</title>"];
  const file = /^\/ort\/([\w.-]+)$/.exec(url)?.[1];
  if (!file) return ["text/html", "<title>training</title><script type=module src=/page.js></script>"];
  const type = file.endsWith("wasm") ? "application/wasm" : "text/javascript";
  return [type, await readFile(join(root, "node_modules/onnxruntime-web/dist", file))];
}

const isolated = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };
const server = createServer(async (request, response) => {
  if (request.url === "/report") {
    for await (const line of request.setEncoding("utf8")) console.log(line);
    return response.writeHead(204, isolated).end();
  }
  const [type, body] = await page(request.url);
  response.writeHead(200, { ...isolated, "Content-Type": type }).end(body);
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));

const address = `http://127.0.0.1:${server.address().port}`;
const profile = mkdtempSync(join(tmpdir(), "hidden-tab-"));
const flags = ["--no-sandbox", "--no-first-run", `--user-data-dir=${profile}`];
if (backend === "webgpu")
  flags.push("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan");
const screen = spawn("Xvfb", [":77", "-screen", "0", "1280x800x24"], { stdio: "ignore" });
await wait(1500);
const open = (path) =>
  spawn(process.env.CHROMIUM_PATH ?? "chromium", [...flags, address + path], {
    env: { ...process.env, DISPLAY: ":77" },
    stdio: "ignore",
  });
const browser = open("/");
await wait(visible);
console.log("another tab comes to the front");
open("/other"); // the same profile: a tab of the same window
await wait(hidden);
browser.kill();
await new Promise((resolve) => browser.on("exit", resolve));
screen.kill();
server.closeAllConnections();
server.close();
rmSync(profile, { recursive: true, force: true });

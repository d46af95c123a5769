/** The suite in Chromium, on WebAssembly and on WebGPU, from the package's browser entry. */
import { beforeAll, describe, expect, it } from "vitest";
import { bundled, chromium, withPage } from "../support/browser.js";
import { families } from "../support/golden.js";
import { suiteInput } from "../support/suite-input.js";
import { type BackendName, checkNames, familyCheck, type Result } from "./suite.js";

const missing = "this machine has no Chromium (CHROMIUM_PATH names one elsewhere)";

let script: string;
beforeAll(async () => {
  script = await bundled();
});

describe.each<BackendName>(["wasm", "webgpu"])("%s in Chromium", (backend) => {
  let results: readonly Result[] = [];
  beforeAll(async () => {
    if (!chromium) return;
    const input = await suiteInput();
    results = await withPage(script, { webgpu: backend === "webgpu" }, async (page) => {
      // A WebGPU run that falls back to something else would prove nothing.
      if (backend === "webgpu" && !(await page.evaluate(`navigator.gpu?.requestAdapter().then(Boolean)`)))
        throw new Error("this Chromium offers no WebGPU adapter");
      return page.evaluate(`suite(${JSON.stringify(backend)}, ${JSON.stringify(input)})`) as Promise<Result[]>;
    });
  });

  it.for([...checkNames, ...families.map(familyCheck)])("%s", (name, { skip }) => {
    if (!chromium) skip(missing);
    expect(results.find((one) => one.name === name)).toEqual({ name });
  });
});

const firstProgram = `(async () => {
  const backend = await library.defaultBackend();
  const { y } = await library.compile(({ x }) => ({ y: x.mul(2) }))({ x: [1, 2] });
  return { name: backend.name, threads: backend.description.threads, y: y.toNumbers(), isolated: crossOriginIsolated };
})()`;

const onWebgpu = `(async () => {
  const { y } = await library.compile(({ x }) => ({ y: x.mul(2) }), { backend: "webgpu" })({ x: [1, 2] });
  const files = performance.getEntriesByType("resource").map(({ name }) => name.split("/").at(-1));
  return { y: y.toNumbers(), files: files.filter((name) => name.endsWith(".wasm")) };
})()`;

describe("webgpu in Chromium", () => {
  it.for([
    ["with promises in WebAssembly", "jspi", ""],
    ["without", "asyncify", "delete WebAssembly.Suspending;"],
  ] as const)("runs the engine made for a browser %s", async ([, engine, before], { skip }) => {
    if (!chromium) skip(missing);
    const got = await withPage(script, { webgpu: true }, (page) => page.evaluate(`${before}${onWebgpu}`));
    expect(got).toEqual({ y: [2, 4], files: [`ort-wasm-simd-threaded.${engine}.wasm`] });
  });
});

describe("a page without options", () => {
  it("runs WebAssembly on several threads where it is cross-origin isolated", async ({ skip }) => {
    if (!chromium) skip(missing);
    const [got, log, expected] = await withPage(script, {}, async (page, lines) => [
      await page.evaluate(firstProgram),
      lines,
      await page.evaluate(`Math.max(Math.min(2, navigator.hardwareConcurrency), navigator.hardwareConcurrency >> 1)`),
    ]);
    expect(got).toEqual({ name: "wasm", threads: expected, y: [2, 4], isolated: true });
    expect(log).toEqual([]);
  });

  it("runs it on one, and says so, where it is not", async ({ skip }) => {
    if (!chromium) skip(missing);
    const [got, log] = await withPage(script, { isolated: false }, async (page, lines) => [
      await page.evaluate(firstProgram),
      lines,
    ]);
    expect(got).toEqual({ name: "wasm", threads: 1, y: [2, 4], isolated: false });
    expect(log).toEqual([expect.stringMatching(/not cross-origin isolated, so WebAssembly runs on one thread; serve/)]);
  });

  it.each([
    ["cpu", /backend "cpu" is native code and needs Node; in a browser use "wasm" or "webgpu"/],
    ["webgpu", /backend "webgpu": this browser offers no WebGPU adapter; use "wasm"/],
  ])('is told why it cannot have "%s"', async (backend, message) => {
    if (!chromium) return;
    const got = withPage(script, {}, (page) => page.evaluate(`library.getBackend("${backend}")`));
    await expect(got).rejects.toThrow(message);
  });
});

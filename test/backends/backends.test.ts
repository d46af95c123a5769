/** One suite on every backend there is: Node's CPU, WebAssembly and WebGPU, and WebAssembly and WebGPU in Chromium. */
import { fork } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as library from "../../src/index.js";
import { browserSuite, chromium } from "../support/browser.js";
import { bundle } from "../support/child.js";
import { families, readCases } from "../support/golden.js";
import { plainOf } from "../support/plain-case.js";
import { type BackendName, type Result, type SuiteInput, trainTinyModel } from "./suite.js";

let folder: string;
let input: SuiteInput;
let script: string;
let file: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "layerwise-backends-"));
  const cases = await Promise.all(
    families.map(async (family) => [family, (await readCases(family)).map(plainOf)] as const),
  );
  input = { families: Object.fromEntries(cases), losses: await trainTinyModel(library, "cpu") };
  file = join(folder, "input.json");
  await writeFile(file, JSON.stringify(input));
  script = await bundle(join(import.meta.dirname, "child.ts"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Machines without a GPU run WebGPU in software, with what Chromium brings along. */
const swiftShader = ["/usr/lib/chromium", "/usr/lib/chromium-browser", "/opt/google/chrome"].find((path) =>
  existsSync(join(path, "vk_swiftshader_icd.json")),
);

const environments: Readonly<Record<BackendName, NodeJS.ProcessEnv | undefined>> = {
  cpu: {},
  wasm: {},
  webgpu:
    swiftShader === undefined
      ? undefined
      : { VK_ICD_FILENAMES: join(swiftShader, "vk_swiftshader_icd.json"), LD_LIBRARY_PATH: swiftShader },
};

function inChild(backend: BackendName, environment: NodeJS.ProcessEnv): Promise<Result[]> {
  return new Promise((resolve, reject) => {
    const child = fork(script, [backend, file], {
      env: { ...process.env, ...environment },
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    let errors = "";
    let results: Result[] | undefined;
    child.stderr?.on("data", (chunk: Buffer) => {
      errors += String(chunk);
    });
    child.on("message", (message) => {
      results = message as Result[];
    });
    child.on("exit", (code) =>
      results
        ? resolve(results)
        : reject(new Error(`the process ended (${code}) without results:\n${errors.slice(-2000)}`)),
    );
  });
}

const expectAll = (results: readonly Result[]) => {
  expect(results.length).toBeGreaterThan(10);
  expect(results.filter(({ problem }) => problem !== undefined)).toEqual([]);
};

describe("Node", () => {
  it.for(["cpu", "wasm", "webgpu"] as const)("%s", async (backend, { skip }) => {
    if (environments[backend] === undefined) skip("no software Vulkan driver on this machine");
    expectAll(await inChild(backend, environments[backend] ?? {}));
  });
});

describe.skipIf(chromium === undefined)("Chromium", () => {
  it.each(["wasm", "webgpu"] as const)("%s", async (backend) => {
    expectAll(await browserSuite(backend, input));
  });
});

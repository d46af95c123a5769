/** The suite on Node's backends, each in a process of its own, which must end by itself and without complaint. */
import { fork } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bundle } from "../support/child.js";
import { families } from "../support/golden.js";
import { suiteInput } from "../support/suite-input.js";
import { softwareVulkan } from "../support/vulkan.js";
import { type BackendName, checkNames, familyCheck, type Result } from "./suite.js";

interface Ended {
  readonly results: readonly Result[];
  readonly code: number | null;
  readonly errors: string;
}

function inChild(script: string, args: readonly string[], environment: NodeJS.ProcessEnv): Promise<Ended> {
  return new Promise((resolve) => {
    const child = fork(script, args, {
      env: { ...process.env, ...environment },
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    let errors = "";
    let results: readonly Result[] = [];
    child.stderr?.on("data", (chunk: Buffer) => {
      errors += String(chunk);
    });
    child.on("message", (message) => {
      results = message as readonly Result[];
    });
    child.on("close", (code) => resolve({ results, code, errors: errors.slice(-2000) }));
  });
}

let folder: string;
let script: string;
let file: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "layerwise-backends-"));
  file = join(folder, "input.json");
  await writeFile(file, JSON.stringify(await suiteInput()));
  script = await bundle(join(import.meta.dirname, "child.ts"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Where WebGPU runs: a real GPU if LAYERWISE_GPU says so, else in software. */
const webgpu = process.env.LAYERWISE_GPU ? {} : softwareVulkan;

describe.each<[BackendName, NodeJS.ProcessEnv | undefined]>([
  ["cpu", {}],
  ["wasm", {}],
  ["webgpu", webgpu],
])("%s in Node", (backend, environment) => {
  let ended: Ended;
  beforeAll(async () => {
    if (environment) ended = await inChild(script, [backend, file], environment);
  });

  it.for([...checkNames, ...families.map(familyCheck)])("%s", (name, { skip }) => {
    if (!environment) skip("this machine has no Vulkan driver, not even Chromium's software one");
    const result = ended.results.find((one) => one.name === name);
    expect(result ?? `no result; the process ended with ${ended.code}: ${ended.errors}`).toEqual({ name });
  });

  it("lets the process end by itself", ({ skip }) => {
    if (!environment) skip("this machine has no Vulkan driver, not even Chromium's software one");
    expect(ended.code).toBe(0);
  });
});

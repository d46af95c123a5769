/** Which backend and how many threads: an option, the environment, the machine. */
import { fork } from "node:child_process";
import { join } from "node:path";
import { expect, it } from "vitest";
import { physicalCores } from "../../src/runtime/host-node.js";
import { getBackend } from "../../src/runtime/index.js";
import { bundle, firstMessage } from "../support/child.js";

it.each<[string, NodeJS.ProcessEnv, object]>([
  ["the native CPU on all physical cores, without a word", {}, { name: "cpu", threads: physicalCores() }],
  [
    "what LAYERWISE_BACKEND and LAYERWISE_THREADS say",
    { LAYERWISE_BACKEND: "wasm", LAYERWISE_THREADS: "1" },
    { name: "wasm", threads: 1 },
  ],
  [
    "an error for a backend that does not exist",
    { LAYERWISE_BACKEND: "cuda" },
    { error: 'backend "cuda" is unknown; known are cpu, webgpu, wasm' },
  ],
  [
    "an error for threads that are no number",
    { LAYERWISE_THREADS: "many" },
    { error: 'LAYERWISE_THREADS must be a positive integer, got "many"' },
  ],
])("gives %s", async (_, environment, expected) => {
  const script = await bundle(join(import.meta.dirname, "../support/print-backend.ts"));
  const child = fork(script, [], {
    env: { ...process.env, LAYERWISE_BACKEND: "", LAYERWISE_THREADS: "", ...environment },
    stdio: ["ignore", "pipe", "pipe", "ipc"],
  });
  expect(await firstMessage(child)).toEqual(expected);
});

it("gives what the option says", async () => {
  expect((await getBackend("cpu", { threads: 1 })).description.threads).toBe(1);
});

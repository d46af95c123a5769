/** ONNX Runtime's WebAssembly engine: the same package in Node and in browsers. */
import type { Env } from "onnxruntime-common";
import { fail } from "../tensor/index.js";
import type { Backend } from "./backend.js";
import { type OrtModule, ortBackend } from "./ort.js";

export type WebModule = OrtModule & { readonly env: Env };

let paths: string | undefined;
let started: number | undefined;

/**
 * Where the engine's files (`ort-wasm-*.wasm` and `.mjs`, from the folder `dist` of onnxruntime-web) are served from: a
 * URL that ends in "/". By default they are expected where the bundler put them, beside the script. Call it before the
 * first program runs.
 */
export function setWasmPaths(url: string): void {
  paths = url;
}

/** What every program of this package needs to be told before its first session. */
export function prepareWeb({ env }: WebModule, threads: number): void {
  env.wasm.numThreads = threads;
  env.logLevel = "error";
  if (paths !== undefined) env.wasm.wasmPaths = paths;
}

/** Its threads are started once for the whole process: without a wish it gives what there is. */
export function wasmBackend(ort: WebModule, version: string, wanted: number | undefined, usual: () => number): Backend {
  const threads = wanted ?? started ?? usual();
  if (started !== undefined && threads !== started)
    fail(
      "backend",
      `backend "wasm" runs on ${started} thread${started > 1 ? "s" : ""} already and cannot change to ${threads}: ask for them before its first program`,
    );
  started = threads;
  prepareWeb(ort, threads);
  return ortBackend({
    name: "wasm",
    ort,
    engine: "onnxruntime-web",
    version,
    threads,
    fillsOutputs: false,
    stops: false,
    keepsOnDevice: false,
    downloadsByProgram: false,
    // A page's first step comes 0.3 s earlier, and its steps take as long (LOG.md).
    levelIfSimplified: "disabled",
    session: { executionProviders: ["wasm"], graphOptimizationLevel: "all", logSeverityLevel: 3 },
  });
}

/** The browser: ONNX Runtime's WebAssembly and WebGPU engines. */
import { fail } from "../tensor/index.js";
import type { Backend, BackendName, BackendOptions, Files, Profiling } from "./backend.js";
import { type OrtModule, ortBackend } from "./ort.js";

/** Pages have no environment variables. */
export const environment = (_name: string): string | undefined => undefined;
export const notice = (text: string): void => console.warn(text);

/** Pages have no files. */
export const files: Files | undefined = undefined;

/** The engine's profile is a file, which a page cannot read. */
export const profiling: Profiling | undefined = undefined;

let wasmPaths: string | undefined;

/** Where the engine's .wasm and .mjs files are served from, if not beside the page's own scripts: a URL ending in "/". */
export function setWasmPaths(url: string): void {
  wasmPaths = url;
}

/** The backend asked for; without a name WebAssembly, which every browser has. */
export async function openBackend(name: BackendName | undefined, options: BackendOptions): Promise<Backend> {
  if (name === "cpu")
    fail("backend", 'backend "cpu" is native code and needs Node; in a browser use "wasm" or "webgpu"');
  return name === "webgpu" ? webgpuBackend() : wasmBackend(options);
}

/** Threads need shared memory, which browsers give to pages served with COOP and COEP headers alone. */
function usableThreads(wanted = Math.max(1, Math.floor((globalThis.navigator?.hardwareConcurrency ?? 2) / 2))): number {
  if (globalThis.crossOriginIsolated || wanted === 1) return wanted;
  notice(
    "layerwise: this page is not cross-origin isolated, so WebAssembly runs on one thread; serve it with Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp",
  );
  return 1;
}

async function wasmBackend({ threads }: BackendOptions): Promise<Backend> {
  const ort = await import("onnxruntime-web/wasm");
  const count = usableThreads(threads);
  ort.env.wasm.numThreads = count;
  if (wasmPaths !== undefined) ort.env.wasm.wasmPaths = wasmPaths;
  ort.env.logLevel = "error";
  return ortBackend({
    name: "wasm",
    ort: ort as OrtModule,
    engine: "onnxruntime-web",
    version: ort.env.versions.common,
    threads: count,
    fillsOutputs: false,
    keepsOnDevice: false,
    downloadsByProgram: false,
    session: { executionProviders: ["wasm"], graphOptimizationLevel: "all", logSeverityLevel: 3 },
  });
}

async function webgpuBackend(): Promise<Backend> {
  const gpu = (globalThis.navigator as Navigator & { readonly gpu?: { requestAdapter(): Promise<object | null> } })
    ?.gpu;
  if (!(await gpu?.requestAdapter()))
    fail("backend", 'backend "webgpu": this browser offers no WebGPU adapter; use "wasm"');
  const ort = await import("onnxruntime-web/webgpu");
  ort.env.wasm.numThreads = 1;
  if (wasmPaths !== undefined) ort.env.wasm.wasmPaths = wasmPaths;
  ort.env.logLevel = "error";
  return ortBackend({
    name: "webgpu",
    ort: ort as OrtModule,
    engine: "onnxruntime-web",
    version: ort.env.versions.common,
    threads: 1,
    fillsOutputs: false,
    keepsOnDevice: true,
    downloadsByProgram: false,
    session: { executionProviders: ["webgpu"], graphOptimizationLevel: "all", logSeverityLevel: 3 },
  });
}

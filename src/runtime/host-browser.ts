/** The browser: ONNX Runtime's WebAssembly and WebGPU engines. */
import { fail } from "../tensor/index.js";
import type { Backend, BackendName, BackendOptions, Files, Profiling } from "./backend.js";
import { type DeviceLoss, ortBackend, webgpuProvider } from "./ort.js";
import { prepareWeb, type WebModule, wasmBackend } from "./wasm.js";

/** Pages have no environment variables. */
export const environment = (_name: string): string | undefined => undefined;
export const notice = (text: string): void => console.warn(text);

/** Pages have no files. */
export const files: Files | undefined = undefined;

/** The engine's profile is a file, which a page cannot read. */
export const profiling: Profiling | undefined = undefined;

/** The backend asked for; without a name WebAssembly, which every browser has. */
export async function openBackend(name: BackendName | undefined, options: BackendOptions): Promise<Backend> {
  if (name === "cpu")
    fail("backend", 'backend "cpu" is native code and needs Node; in a browser use "wasm" or "webgpu"');
  if (name === "webgpu") return webgpuBackend();
  const ort = (await import("onnxruntime-web/wasm")) as WebModule;
  return wasmBackend(ort, ort.env.versions.common, options.threads && usable(options.threads), usualThreads);
}

/** Pages do not learn of cores: half of the hardware's threads, of which up to two are taken for cores. */
const usualThreads = (): number => {
  const logical = globalThis.navigator?.hardwareConcurrency ?? 1;
  return usable(Math.max(Math.min(2, logical), Math.floor(logical / 2)));
};

/** Threads need shared memory, which browsers give to pages served with COOP and COEP headers alone. */
function usable(threads: number): number {
  if (globalThis.crossOriginIsolated || threads === 1) return threads;
  notice(
    "layerwise: this page is not cross-origin isolated, so WebAssembly runs on one thread; serve it with Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp",
  );
  return 1;
}

/** Where WebAssembly can wait for promises itself, the engine needs no code for it: 17 MB instead of 27, and kernels start sooner. */
const webgpuEngine = () =>
  "Suspending" in WebAssembly ? import("onnxruntime-web/jspi") : import("onnxruntime-web/webgpu");

async function webgpuBackend(): Promise<Backend> {
  const { gpu } = (globalThis.navigator ?? {}) as { readonly gpu?: GPU };
  const adapter = await gpu?.requestAdapter();
  if (!adapter) return fail("backend", 'backend "webgpu": this browser offers no WebGPU adapter; use "wasm"');
  const ort = (await webgpuEngine()) as WebModule;
  prepareWeb(ort, 1);
  const device = await nextDevice(adapter);
  const loss = deviceLoss(async () => device ?? ((await ort.env.webgpu.device) as GPUDevice | undefined));
  return ortBackend({
    name: "webgpu",
    ort,
    engine: "onnxruntime-web",
    version: ort.env.versions.common,
    threads: 1,
    fillsOutputs: false,
    stops: false,
    keepsOnDevice: true,
    downloadsByProgram: false,
    loss,
    advice: kernelAdvice,
    session: {
      // The types know the device only as part of the environment.
      executionProviders: [device ? ({ ...webgpuProvider, device } as typeof webgpuProvider) : webgpuProvider],
      graphOptimizationLevel: "all",
      logSeverityLevel: 3,
    },
  });
}

let lostDevice: GPUDevice | undefined;

/** The engine makes its first device itself and keeps to it: after a loss it is given another, of the same abilities. */
async function nextDevice(adapter: GPUAdapter): Promise<GPUDevice | undefined> {
  if (!lostDevice) return undefined;
  const { features, limits } = lostDevice;
  const requiredLimits: Record<string, number> = {};
  for (const name in limits) {
    const value = limits[name as keyof typeof limits] as unknown;
    if (typeof value === "number") requiredLimits[name] = value;
  }
  return adapter.requestDevice({ requiredFeatures: [...features] as GPUFeatureName[], requiredLimits });
}

/** Watches the device from the first session on, with which the engine makes it. */
function deviceLoss(deviceOf: () => Promise<GPUDevice | undefined>): DeviceLoss {
  let settle: () => void;
  let isWatched = false;
  const loss: DeviceLoss = {
    reason: undefined,
    promise: new Promise<void>((resolve) => {
      settle = resolve;
    }),
    async watch() {
      if (isWatched) return;
      isWatched = true;
      const device = await deviceOf();
      void device?.lost.then(({ message }) => {
        lostDevice = device;
        loss.reason = message || "the browser gave no reason";
        settle();
      });
    },
  };
  return loss;
}

/** Browsers get a smaller engine than Node: what WebGPU cannot do, its processor part cannot always do either. */
const kernelAdvice = (message: string): string =>
  message.includes("Provider type for")
    ? '; the engine has no kernel for this operation on this type of number (WebGPU has no float64): use backend "wasm" for it'
    : "";

/** Node: the native package on CPU or WebGPU, and WebAssembly where the native one is not installed. */
import { readFileSync, type Stats } from "node:fs";
import { mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { arch, env } from "node:process";
import { fail, LayerwiseError } from "../tensor/index.js";
import type { Backend, BackendName, BackendOptions, Files, Profiling } from "./backend.js";
import { channelBlock } from "./channel-block.js";
import { coresIn, quotaIn } from "./cores.js";
import { type OrtModule, ortBackend, webgpuProvider } from "./ort.js";
import { stops } from "./uncopied.js";
import { type WebModule, wasmBackend } from "./wasm.js";

export const environment = (name: string): string | undefined => env[name];
export const notice = (text: string): void => console.warn(text);

/** Files, where there are any. */
export const files: Files | undefined = {
  write: async (path, bytes) => {
    // Beside its place first: a file under its own name is always whole.
    const temporary = `${path}.${process.pid}.tmp`;
    await writeFile(temporary, bytes);
    await rename(temporary, path);
  },
  read: async (path) => {
    try {
      const status = await stat(path);
      // A pipe would be waited for, a device has no end.
      if (!status.isFile()) fail("file", `${path}: expected a regular file, got ${kindOf(status)}`);
      return await readFile(path);
    } catch (error) {
      if (error instanceof LayerwiseError) throw error;
      return fail("file", `${path} cannot be read: ${error instanceof Error ? error.message : error}`, {
        cause: error,
      });
    }
  },
};

/** Where the engine writes its profile, and how to read it. */
export const profiling: Profiling | undefined = {
  async open() {
    const folder = await mkdtemp(join(tmpdir(), "layerwise-profile-"));
    return {
      prefix: join(folder, "run"),
      async read() {
        const [file] = await readdir(folder);
        const text =
          file === undefined
            ? fail("backend", "explain: the engine wrote no profile")
            : await readFile(join(folder, file), "utf8");
        await rm(folder, { recursive: true });
        return text;
      },
    };
  },
};

const kindOf = (status: Stats): string => (status.isDirectory() ? "a folder" : "a pipe or device");

let warned = false;

/** The backend asked for, or the best one here: native CPU, else WebAssembly with a notice. */
export async function openBackend(name: BackendName | undefined, options: BackendOptions): Promise<Backend> {
  const native = name === "wasm" ? "is not wanted" : await loadNative();
  if (typeof native !== "string") return nativeBackend(native, name ?? "cpu", options);
  if (name === "cpu" || name === "webgpu")
    fail(
      "backend",
      `backend "${name}" needs the package onnxruntime-node, which ${native}: npm install onnxruntime-node`,
    );
  if (name === undefined && !warned) {
    warned = true;
    notice(
      `layerwise: onnxruntime-node ${native}, so programs run on WebAssembly, which is slower. For native speed: npm install onnxruntime-node`,
    );
  }
  const web = (await import("onnxruntime-web")) as WebModule;
  return wasmBackend(web, packageVersion("onnxruntime-web"), options.threads, physicalCores);
}

/** The native package, or why it is not there: it is optional, and has no build for some systems (musl). */
async function loadNative(): Promise<OrtModule | string> {
  try {
    const loaded = (await import("onnxruntime-node")) as { readonly default?: OrtModule } & OrtModule;
    return loaded.default ?? loaded; // a CommonJS package
  } catch (error) {
    const missing = error instanceof Error && "code" in error && error.code === "ERR_MODULE_NOT_FOUND";
    return missing ? "is not installed" : `does not load here (${String(error)})`;
  }
}

async function nativeBackend(
  ort: OrtModule,
  name: BackendName,
  { threads = physicalCores() }: BackendOptions,
): Promise<Backend> {
  const gpu = name === "webgpu";
  const backend = ortBackend({
    name,
    ort,
    engine: "onnxruntime-node",
    version: packageVersion("onnxruntime-node"),
    threads,
    fillsOutputs: !gpu,
    stops: !gpu && (await stops(ort)),
    keepsOnDevice: gpu,
    downloadsByProgram: true,
    ...(gpu && { advice: adapterAdvice }),
    session: {
      executionProviders: gpu ? [webgpuProvider] : ["cpu"],
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      logSeverityLevel: 3,
      graphOptimizationLevel: "all",
      // A plan of all buffers made in the first run comes on top of what that run took, and stays: half as much again.
      enableMemPattern: false,
    },
  });
  return gpu ? backend : Object.assign(backend, { channelBlock: () => channelBlock(backend) });
}

/** The engine names what it lacks; this says what to do about it. */
const adapterAdvice = (message: string): string =>
  message.includes("adapter")
    ? `; WebGPU needs a GPU whose Vulkan driver and loader (libvulkan.so.1) are found. Without one use backend "cpu", or Chromium's software driver: VK_ICD_FILENAMES=/usr/lib/chromium/vk_swiftshader_icd.json LD_LIBRARY_PATH=/usr/lib/chromium`
    : "";

function packageVersion(name: string): string {
  try {
    const entry = createRequire(import.meta.url).resolve(name);
    const root = entry.slice(0, entry.lastIndexOf(name) + name.length);
    return (JSON.parse(readFileSync(`${root}/package.json`, "utf8")) as { version: string }).version;
  } catch {
    return "unknown";
  }
}

/** Threads worth having: physical cores, or what a container may use of them. */
export function physicalCores(): number {
  const logical = availableParallelism();
  const cpuinfo = textOf("/proc/cpuinfo");
  const quota = quotaIn(textOf("/sys/fs/cgroup/cpu.max") ?? "");
  // Elsewhere than on Linux: Intel's and AMD's processors have two threads a core as a rule, ARM's one.
  const cores =
    cpuinfo === undefined ? Math.ceil(logical / (/x64|ia32/.test(arch) ? 2 : 1)) : coresIn(cpuinfo) || logical;
  return Math.max(1, Math.min(logical, cores, quota));
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

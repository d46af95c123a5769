/** Node: the native package on CPU or WebGPU, and WebAssembly where the native one is not installed. */
import { readFileSync } from "node:fs";
import { mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { availableParallelism, cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { env } from "node:process";
import { fail } from "../tensor/index.js";
import type { Backend, BackendName, BackendOptions, Files, Profiling } from "./backend.js";
import { type OrtModule, ortBackend } from "./ort.js";

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
  read: (path) =>
    readFile(path).catch((error: Error) => fail("file", `${path} cannot be read: ${error.message}`, { cause: error })),
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

let warned = false;

/** The backend asked for, or the best one here: native CPU, else WebAssembly with a notice. */
export async function openBackend(name: BackendName | undefined, options: BackendOptions): Promise<Backend> {
  const native = name === "wasm" ? undefined : await loadNative();
  if (native) return nativeBackend(native, name ?? "cpu", options);
  if (name === "cpu" || name === "webgpu")
    fail(
      "backend",
      `backend "${name}" needs the package onnxruntime-node, which is not installed here: npm install onnxruntime-node`,
    );
  if (name === undefined && !warned) {
    warned = true;
    notice(
      "layerwise: onnxruntime-node is not installed, so programs run on WebAssembly, which is slower. For native speed: npm install onnxruntime-node",
    );
  }
  return wasmBackend(options);
}

async function loadNative(): Promise<OrtModule | undefined> {
  try {
    // The package is CommonJS and optional: its absence is a normal case, any other failure is not.
    return (
      ((await import("onnxruntime-node")) as { default?: OrtModule } & OrtModule).default ??
      (await import("onnxruntime-node"))
    );
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ERR_MODULE_NOT_FOUND") return undefined;
    return fail("backend", `onnxruntime-node is installed but does not load: ${String(error)}`, { cause: error });
  }
}

function nativeBackend(ort: OrtModule, name: BackendName, { threads = physicalCores() }: BackendOptions): Backend {
  const gpu = name === "webgpu";
  return ortBackend({
    name,
    ort,
    engine: "onnxruntime-node",
    version: packageVersion("onnxruntime-node"),
    threads,
    fillsOutputs: !gpu,
    keepsOnDevice: gpu,
    downloadsByProgram: true,
    session: {
      executionProviders: gpu ? ["webgpu"] : ["cpu"],
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      logSeverityLevel: 3,
      graphOptimizationLevel: "all",
    },
  });
}

async function wasmBackend({ threads = physicalCores() }: BackendOptions): Promise<Backend> {
  const ort = await import("onnxruntime-web");
  ort.env.wasm.numThreads = threads;
  ort.env.logLevel = "error";
  return ortBackend({
    name: "wasm",
    ort,
    engine: "onnxruntime-web",
    version: packageVersion("onnxruntime-web"),
    threads,
    fillsOutputs: false,
    keepsOnDevice: false,
    downloadsByProgram: false,
    session: { executionProviders: ["wasm"], graphOptimizationLevel: "all", logSeverityLevel: 3 },
  });
}

function packageVersion(name: string): string {
  try {
    const entry = createRequire(import.meta.url).resolve(name);
    const root = entry.slice(0, entry.lastIndexOf(name) + name.length);
    return (JSON.parse(readFileSync(`${root}/package.json`, "utf8")) as { version: string }).version;
  } catch {
    return "unknown";
  }
}

/** Hyper-threads share a core's arithmetic units, so counting them makes matrix products slower. */
export function physicalCores(): number {
  const logical = availableParallelism();
  try {
    const text = readFileSync("/proc/cpuinfo", "utf8");
    const field = (block: string, name: string) => new RegExp(`^${name}\\s*:\\s*(\\d+)`, "m").exec(block)?.[1];
    const cores = new Set(
      text
        .split("\n\n")
        .filter((b) => b.trim())
        .map((b) => `${field(b, "physical id")}/${field(b, "core id")}`),
    );
    return Math.max(1, Math.min(logical, cores.size));
  } catch {
    return Math.max(1, /x64|ia32/.test(process.arch) && cpus().length === logical ? Math.ceil(logical / 2) : logical);
  }
}

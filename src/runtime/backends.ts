/** Which backends exist, the default one, and the probe each must pass before it is trusted. */
import { environment, openBackend } from "#host";
import { fail } from "../tensor/index.js";
import type { Backend, BackendName, BackendOptions } from "./backend.js";
import { verify } from "./probe.js";

export const backendNames: readonly BackendName[] = ["cpu", "webgpu", "wasm"];

const open = new Map<string, Promise<Backend>>();

/** The backend of this name with these options; opened and verified once. */
export function getBackend(name: BackendName | undefined, options: BackendOptions = {}): Promise<Backend> {
  if (name !== undefined && !backendNames.includes(name))
    fail("backend", `backend "${name}" is unknown; known are ${backendNames.join(", ")}`);
  const key = `${name ?? "default"}/${options.threads ?? ""}`;
  const known = open.get(key) ?? openVerified(name, options);
  open.set(key, known);
  known.catch(() => open.delete(key));
  return known;
}

async function openVerified(name: BackendName | undefined, options: BackendOptions): Promise<Backend> {
  const backend = await openBackend(name, options);
  await verify(backend);
  return backend;
}

/** LAYERWISE_BACKEND and LAYERWISE_THREADS, else the host's best. */
export function defaultBackend(options: BackendOptions = {}): Promise<Backend> {
  const name = environment("LAYERWISE_BACKEND") || undefined;
  const threads = Number(environment("LAYERWISE_THREADS") || 0);
  if (!Number.isInteger(threads) || threads < 0)
    fail("config", `LAYERWISE_THREADS must be a positive integer, got "${environment("LAYERWISE_THREADS")}"`);
  return getBackend(name as BackendName | undefined, threads > 0 ? { threads, ...options } : options);
}

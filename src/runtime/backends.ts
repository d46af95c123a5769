/** Which backends exist, the default one, and the probe each must pass before it is trusted. */
import { environment, openBackend } from "#host";
import { fail } from "../tensor/index.js";
import type { Backend, BackendName, BackendOptions } from "./backend.js";
import { verify } from "./probe.js";

export const backendNames: readonly BackendName[] = ["cpu", "webgpu", "wasm"];

const asked = new Map<string, Promise<Backend>>();
const trusted = new Map<string, Promise<Backend>>();

/**
 * The backend of this name with these options, opened and verified once. What is not given is taken from
 * LAYERWISE_BACKEND and LAYERWISE_THREADS, else it is the host's best. Throws a "backend" error where there is none of
 * the name, or it computes wrongly.
 */
export function getBackend(name: BackendName | undefined, options: BackendOptions = {}): Promise<Backend> {
  const wanted = name ?? ((environment("LAYERWISE_BACKEND") || undefined) as BackendName | undefined);
  if (wanted !== undefined && !backendNames.includes(wanted))
    fail("backend", `backend "${wanted}" is unknown; known are ${backendNames.join(", ")}`);
  const threads = options.threads ?? threadsOfEnvironment();
  if (threads !== undefined && !(Number.isInteger(threads) && threads > 0))
    fail("argument", `threads must be a whole number from 1, got ${threads}`);
  return once(asked, `${wanted} ${threads}`, async () => {
    const backend = await openBackend(wanted, threads === undefined ? {} : { threads });
    // One for "the default" and for its name: variables would move to and fro between two.
    const key = `${backend.name} ${backend.description.threads}`;
    return once(trusted, key, async () => {
      await verify(backend);
      // The next who ask get another device.
      void backend.lost?.then(() => [asked.clear(), trusted.delete(key)]);
      return backend;
    });
  });
}

export const defaultBackend = (options: BackendOptions = {}): Promise<Backend> => getBackend(undefined, options);

/** What failed is tried anew when asked for again. */
function once<T>(known: Map<string, Promise<T>>, key: string, make: () => Promise<T>): Promise<T> {
  const found = known.get(key) ?? make();
  known.set(key, found);
  found.catch(() => known.delete(key));
  return found;
}

function threadsOfEnvironment(): number | undefined {
  const text = environment("LAYERWISE_THREADS");
  if (!text) return undefined;
  const threads = Number(text);
  if (!Number.isInteger(threads) || threads < 1)
    fail("config", `LAYERWISE_THREADS must be a positive integer, got "${text}"`);
  return threads;
}

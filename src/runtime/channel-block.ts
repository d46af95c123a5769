/**
 * The native engine has kernels for convolutions on blocks of channels, as many as its widest registers hold: 16, 8, or
 * none. It does not say which, so a small convolution is computed both ways and compared.
 */
import { encodeModel, lower } from "../compile/lower.js";
import { type DeviceArray, input, type NDArray, normalArray } from "../tensor/index.js";
import type { Backend } from "./backend.js";

const candidates = [16, 8];
const known = new WeakMap<Backend, Promise<number | undefined>>();

/** Tried once for each backend, when a program with a convolution is first compiled. */
export function channelBlock(backend: Backend): Promise<number | undefined> {
  const found = known.get(backend) ?? tried(backend);
  known.set(backend, found);
  return found;
}

async function tried(backend: Backend): Promise<number | undefined> {
  const x = normalArray({ seed: 1, site: "blocks of x" }, [1, 32, 32, 33]);
  const w = normalArray({ seed: 1, site: "blocks of w" }, [32, 32, 3, 3]);
  const expected = await convolved(backend, x, w, undefined);
  for (const block of candidates) {
    // An engine without these kernels refuses the program.
    const got = await convolved(backend, x, w, block).catch(() => undefined);
    if (got?.every((value, i) => Math.abs(value - (expected[i] as number)) < 1e-3)) return block;
  }
  return undefined;
}

async function convolved(backend: Backend, x: NDArray, w: NDArray, block: number | undefined): Promise<number[]> {
  const leaf = (name: string, { shape, dtype }: NDArray) => input([], { name, shape, dtype });
  const y = leaf("x", x).conv2d(leaf("w", w), { padding: 1 });
  const { model } = lower(new Map([["y", y]]), "blocks", backend.name, { channelBlock: block });
  const session = await backend.createSession(encodeModel(model), { onDevice: [] });
  try {
    const feeds = new Map([
      ["x", backend.upload(x)],
      ["w", backend.upload(w)],
    ] as const);
    return (await ((await session.run(feeds, ["y"], new Map())).get("y") as DeviceArray).read()).toNumbers();
  } finally {
    await session.release();
  }
}

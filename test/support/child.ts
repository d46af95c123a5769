import { type ChildProcess, fork } from "node:child_process";
import { mkdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { build } from "esbuild";

const root = join(import.meta.dirname, "../..");

/** Bundles a TypeScript file so that plain Node runs it; inside node_modules, so that packages are found from there. */
export async function bundle(entry: string): Promise<string> {
  const folder = join(root, "node_modules/.layerwise-test");
  await mkdir(folder, { recursive: true });
  const outfile = join(folder, `${basename(entry, ".ts")}-${process.pid}.mjs`);
  await build({
    entryPoints: [entry],
    bundle: true,
    platform: "node",
    format: "esm",
    packages: "external",
    alias: { "#host": join(root, "src/runtime/host-node.ts"), layerwise: join(root, "src/index.ts") },
    outfile,
    logLevel: "error",
  });
  return outfile;
}

/** A child process running a bundled file, with a channel for messages. */
export const start = (script: string, args: readonly string[]): ChildProcess =>
  fork(script, args, { stdio: ["ignore", "pipe", "pipe", "ipc"] });

export const firstMessage = (child: ChildProcess): Promise<unknown> =>
  new Promise((resolve, reject) => {
    child.once("message", resolve);
    child.once("exit", (code) => reject(new Error(`the child ended (${code}) before it said anything`)));
  });

export const ended = (child: ChildProcess): Promise<number | null> =>
  child.exitCode !== null || child.signalCode !== null
    ? Promise.resolve(child.exitCode)
    : new Promise((resolve) => child.once("exit", resolve));

/**
 * Checkpoints: a folder `checkpoint-<step>` with `model.safetensors`, `optimizer.safetensors` and `state.json`.
 *
 * It is written under a hidden name, every file and the folder flushed to the disk, and then renamed: whatever fails
 * at whatever moment, the checkpoints under their own names are whole. `state.json` holds each file's size and SHA-256,
 * so one that was torn all the same (a disk that lied, a copy cut short) is noticed and passed over.
 */

import { createHash, randomUUID } from "node:crypto";
import { mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { failFile, openRegular, readFully, syncFolder, writeDurably, writeFully } from "../data/disk.js";
import { encodeSafetensors } from "../data/safetensors.js";
import { readSafetensors } from "../data/safetensors-file.js";
import { fail } from "../tensor/errors.js";
import type { NDArray } from "../tensor/ndarray.js";

/** Everything besides arrays that a run needs to go on: plain JSON. */
export type CheckpointState = Readonly<Record<string, unknown>>;

export interface Checkpoint {
  readonly step: number;
  readonly model: ReadonlyMap<string, NDArray>;
  readonly optimizer: ReadonlyMap<string, NDArray>;
  readonly state: CheckpointState;
}

interface FileRecord {
  readonly bytes: number;
  readonly sha256: string;
}

const arrays = ["model", "optimizer"] as const;
const formatVersion = 1;
const stateLimit = 16 * 1024 * 1024;

/**
 * Writes a checkpoint and returns its folder. Afterwards the oldest are removed until `keep` remain (default: all kept).
 *
 * @throws LayerwiseError "file" when the disk refuses; earlier checkpoints are then untouched.
 */
export async function saveCheckpoint(
  folder: string,
  checkpoint: Checkpoint,
  { keep = Number.POSITIVE_INFINITY }: { readonly keep?: number } = {},
): Promise<string> {
  const target = join(folder, `checkpoint-${checkpoint.step}`);
  const temporary = join(folder, `.writing-${randomUUID()}`);
  try {
    await mkdir(folder, { recursive: true });
    await sweep(folder);
    await mkdir(temporary);
    await writeFiles(temporary, checkpoint);
    await syncFolder(temporary);
    await publish(folder, temporary, target);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
    failFile(target, "the checkpoint could not be written; earlier ones are untouched", error);
  }
  await retain(folder, keep);
  return target;
}

async function writeFiles(folder: string, { step, state, ...content }: Checkpoint): Promise<void> {
  const files: Record<string, FileRecord> = {};
  for (const name of arrays) {
    const { head, parts } = encodeSafetensors(content[name]);
    files[`${name}.safetensors`] = await writeHashed(join(folder, `${name}.safetensors`), [head, ...parts]);
  }
  // Last, so that its presence means the others were flushed before it.
  const json = JSON.stringify({ ...state, format: formatVersion, step, files }, null, 2);
  await writeHashed(join(folder, "state.json"), [new TextEncoder().encode(`${json}\n`)]);
}

async function writeHashed(path: string, parts: readonly Uint8Array[]): Promise<FileRecord> {
  const hash = createHash("sha256");
  let bytes = 0;
  await writeDurably(path, async (handle) => {
    for (const part of parts) {
      hash.update(part);
      bytes += part.length;
      await writeFully(handle, part);
    }
  });
  return { bytes, sha256: hash.digest("hex") };
}

/** A checkpoint of the same step steps aside under a name that `candidates` still finds, until the new one stands. */
async function publish(folder: string, temporary: string, target: string): Promise<void> {
  const aside = join(folder, `.replaced-${target.slice(folder.length + 1)}`);
  const replaced = await rename(target, aside).then(
    () => true,
    (error: NodeJS.ErrnoException) => (error.code === "ENOENT" ? false : Promise.reject(error)),
  );
  await rename(temporary, target);
  await syncFolder(folder);
  if (replaced) await rm(aside, { recursive: true, force: true });
}

/** What dead writers left behind. A set-aside checkpoint is litter only once its successor stands. */
async function sweep(folder: string): Promise<void> {
  const names = await readdir(folder);
  for (const name of names) {
    const replaced = /^\.replaced-(checkpoint-\d+)$/.exec(name)?.[1];
    if (/^\.(writing|removing)-/.test(name) || (replaced !== undefined && names.includes(replaced)))
      await rm(join(folder, name), { recursive: true, force: true });
  }
}

/** Renamed before they are emptied, so that a half-removed one is never taken for a checkpoint. */
async function retain(folder: string, keep: number): Promise<void> {
  for (const { path } of (await candidates(folder)).slice(Math.max(1, keep))) {
    const removing = join(folder, `.removing-${randomUUID()}`);
    try {
      await rename(path, removing);
      await rm(removing, { recursive: true, force: true });
    } catch (error) {
      failFile(path, "the old checkpoint could not be removed", error);
    }
  }
}

/** Folders that may be checkpoints, newest step first: by the number in the name, never by a clock. */
async function candidates(folder: string): Promise<{ path: string; step: number }[]> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException): string[] => {
    if (error.code === "ENOENT") return [];
    return failFile(folder, "cannot be listed; expected a folder of checkpoints", error);
  });
  return names
    .flatMap((name) => {
      const [, aside, step] = /^(\.replaced-)?checkpoint-(\d{1,15})$/.exec(name) ?? [];
      if (step === undefined || (aside && names.includes(name.slice(aside.length)))) return [];
      return [{ path: join(folder, name), step: Number(step) }];
    })
    .sort((a, b) => b.step - a.step);
}

/** The checkpoints of a folder, newest first, by name and size alone: whether they are whole is seen when one is read. */
export async function listCheckpoints(folder: string): Promise<{ path: string; step: number; bytes: number }[]> {
  const found = await candidates(folder);
  const files = ["state.json", ...arrays.map((name) => `${name}.safetensors`)];
  const sizeOf = (path: string): Promise<number> =>
    stat(path).then(
      ({ size }) => size,
      () => 0,
    );
  return Promise.all(
    found.map(async ({ path, step }) => {
      const sizes = await Promise.all(files.map((name) => sizeOf(join(path, name))));
      return { path, step, bytes: sizes.reduce((a, b) => a + b, 0) };
    }),
  );
}

/**
 * The newest whole checkpoint in a folder, or undefined. Torn ones are passed over, with a warning each.
 *
 * @throws LayerwiseError "file" when the folder cannot be listed.
 */
export async function latestCheckpoint(
  folder: string,
  warn: (message: string) => void = () => undefined,
): Promise<string | undefined> {
  for (const { path } of await candidates(folder)) {
    try {
      await verify(path);
      return path;
    } catch (error) {
      warn(`${error instanceof Error ? error.message : String(error)}; this checkpoint is passed over`);
    }
  }
  return undefined;
}

/**
 * Reads a checkpoint, checked against its own sizes and hashes.
 *
 * @throws LayerwiseError "file" naming the file that is missing, torn or of another format.
 */
export async function loadCheckpoint(path: string): Promise<Checkpoint> {
  const { step, ...state } = await verify(path);
  const [model, optimizer] = await Promise.all(
    arrays.map(async (name) => (await readSafetensors(join(path, `${name}.safetensors`))).tensors),
  );
  return { step, model: model as Map<string, NDArray>, optimizer: optimizer as Map<string, NDArray>, state };
}

/** The state of a checkpoint whose files are all what it says they are. */
async function verify(path: string): Promise<CheckpointState & { readonly step: number }> {
  const { format, step, files, ...state } = await readState(join(path, "state.json"));
  if (format !== formatVersion) fail("file", `${path}: checkpoint format ${format}; expected ${formatVersion}`);
  if (typeof step !== "number" || !Number.isSafeInteger(step) || step < 0)
    return fail("file", `${path}: state.json: step is ${step}; expected a whole number`);
  for (const name of arrays.map((array) => `${array}.safetensors`)) {
    const expected = (files as Record<string, FileRecord | undefined> | undefined)?.[name];
    if (!expected) fail("file", `${path}: state.json does not list ${name}`);
    const found = await hashFile(join(path, name));
    if (found.bytes !== expected.bytes)
      fail("file", `${join(path, name)}: torn: ${found.bytes} bytes, expected ${expected.bytes}`);
    if (found.sha256 !== expected.sha256) fail("file", `${join(path, name)}: damaged: its SHA-256 does not match`);
  }
  return { ...state, step };
}

async function readState(path: string): Promise<Record<string, unknown>> {
  const { handle, size } = await openRegular(path);
  try {
    if (size > stateLimit) fail("file", `${path}: ${size} bytes; expected at most ${stateLimit}`);
    const bytes = new Uint8Array(size);
    await readFully(handle, bytes, 0, path);
    const state: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    if (typeof state !== "object" || state === null || Array.isArray(state))
      return fail("file", `${path}: expected a JSON object`);
    return state as Record<string, unknown>;
  } catch (error) {
    return failFile(path, "torn: expected JSON", error);
  } finally {
    await handle.close();
  }
}

async function hashFile(path: string): Promise<FileRecord> {
  const { handle, size } = await openRegular(path);
  try {
    const hash = createHash("sha256");
    const buffer = new Uint8Array(Math.min(size, 1 << 20));
    for (let done = 0; done < size; done += buffer.length) {
      const piece = buffer.subarray(0, Math.min(buffer.length, size - done));
      await readFully(handle, piece, done, path);
      hash.update(piece);
    }
    return { bytes: size, sha256: hash.digest("hex") };
  } finally {
    await handle.close();
  }
}

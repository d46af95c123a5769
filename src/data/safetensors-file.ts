import type { FileHandle } from "node:fs/promises";
import { lstat } from "node:fs/promises";
import { fail } from "../tensor/errors.js";
import type { NDArray } from "../tensor/ndarray.js";
import { failFile, openRegular, type RegularFile, readFully, writeAtomically, writeFully } from "./disk.js";
import {
  checkLayout,
  decodeTensor,
  encodeHead,
  encodeSafetensors,
  headerLength,
  type SafetensorsContent,
  type TensorInfo,
} from "./safetensors.js";
import { parseHeader, quoted } from "./safetensors-header.js";
import { openShards } from "./safetensors-shards.js";

/** An open file (or set of shards) whose tensors are read one by one. */
export interface SafetensorsReader {
  /** Name -> dtype as stored, shape and place, in file order. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly metadata: Readonly<Record<string, string>>;
  /** One tensor, straight from the disk into its own array. @throws LayerwiseError "file" for an unknown name. */
  read(name: string): Promise<NDArray>;
  close(): Promise<void>;
}

/**
 * Opens a safetensors file, or the shards named by a `*.index.json`, reading the header only.
 * The rules are those of `parseSafetensors`; nothing is allocated beyond what the file's size has room for.
 *
 * @throws LayerwiseError "file" naming the file and the tensor or offset at fault.
 */
export async function openSafetensors(path: string): Promise<SafetensorsReader> {
  if (path.endsWith(".json")) return openShards(path, openOne);
  return openOne(path);
}

/** `own: true` refuses links: the name came out of a file, and may point outside its folder. */
async function openOne(path: string, own = false): Promise<SafetensorsReader> {
  if (own) await refuseLink(path);
  const file = await openRegular(path, { follow: !own });
  try {
    if (file.links > 1 && own) fail("file", `${path}: a shard may not be a hard link; copy the file instead`);
    return await readerOf(file, path);
  } catch (error) {
    await file.handle.close();
    throw error;
  }
}

/** A clearer sentence than the system's ELOOP; the open itself refuses links too. */
async function refuseLink(path: string): Promise<void> {
  const status = await lstat(path).catch(() => undefined);
  if (status?.isSymbolicLink()) fail("file", `${path}: a shard may not be a symbolic link; copy the file instead`);
}

async function readerOf({ handle, size }: RegularFile, path: string): Promise<SafetensorsReader> {
  const length = headerLength(await readBytes(handle, 0, Math.min(8, size), path), size, path);
  const header = parseHeader(await readBytes(handle, 8, length, path), path);
  const tensors = new Map(checkLayout(header, size - 8 - length, path).map((info) => [info.name, info]));
  const read = async (name: string): Promise<NDArray> => {
    const info = tensors.get(name);
    if (!info) return fail("file", `${path}: no tensor named ${quoted(name)} (it holds ${tensors.size})`);
    return decodeTensor(info, await readBytes(handle, 8 + length + info.start, info.end - info.start, path), path);
  };
  return { tensors, metadata: header.metadata, read, close: () => handle.close() };
}

async function readBytes(handle: FileHandle, position: number, length: number, path: string) {
  const bytes = new Uint8Array(length);
  await readFully(handle, bytes, position, path);
  return bytes;
}

/**
 * All tensors and metadata of a safetensors file (or of the shards of a `*.index.json`), each byte read once.
 *
 * @throws LayerwiseError "file" naming the file and the tensor or offset at fault.
 */
export async function readSafetensors(path: string): Promise<SafetensorsContent> {
  const reader = await openSafetensors(path);
  try {
    const tensors = new Map<string, NDArray>();
    for (const name of reader.tensors.keys()) tensors.set(name, await reader.read(name));
    return { tensors, metadata: { ...reader.metadata } };
  } catch (error) {
    return failFile(path, "could not be read", error);
  } finally {
    await reader.close();
  }
}

/**
 * Writes tensors to a safetensors file in one step: streamed to a temporary file beside it, flushed, renamed. A reader
 * sees the old file or the new one, never a part. `metadata` defaults to `{format: "pt"}`, which transformers asks for.
 *
 * @throws LayerwiseError "file" when the disk refuses, "argument" for names or metadata the format cannot hold.
 */
export async function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, NDArray>,
  metadata?: Readonly<Record<string, string>>,
): Promise<void> {
  const { head, parts } = encodeSafetensors(tensors, metadata);
  await writeAtomically(path, async (handle) => {
    await writeFully(handle, head);
    for (const part of parts) await writeFully(handle, part);
  });
}

/** A tensor that is read when its turn comes. */
export interface LazyTensor extends Pick<NDArray, "dtype" | "shape"> {
  read(): Promise<NDArray>;
}

/** The same from tensors that are read one after another, so that no more than one is held. */
export async function streamSafetensors(path: string, tensors: ReadonlyMap<string, LazyTensor>): Promise<void> {
  const { head, order } = encodeHead(tensors);
  await writeAtomically(path, async (handle) => {
    await writeFully(handle, head);
    for (const name of order) {
      const { data } = await (tensors.get(name) as LazyTensor).read();
      await writeFully(handle, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    }
  });
}

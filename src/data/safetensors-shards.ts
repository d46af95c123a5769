import { dirname, join } from "node:path";
import { fail } from "../tensor/errors.js";
import { readJson } from "./json-file.js";
import type { TensorInfo } from "./safetensors.js";
import type { SafetensorsReader } from "./safetensors-file.js";
import { maxHeaderBytes, quoted } from "./safetensors-header.js";

type OpenShard = (path: string, own: true) => Promise<SafetensorsReader>;

/**
 * Shards as Hugging Face writes them: `model.safetensors.index.json` maps each tensor to a file beside it.
 *
 * A shard's name is data from a file, so it is never followed out of its folder: plain names only, no links, regular
 * files only. (The hub's cache is made of links: download with `--local-dir` for real files.)
 */
export async function openShards(indexPath: string, openShard: OpenShard): Promise<SafetensorsReader> {
  const places = await readIndex(indexPath);
  const shards = new Map<string, SafetensorsReader>();
  const close = async (): Promise<void> => {
    await Promise.all([...shards.values()].map((shard) => shard.close()));
  };
  try {
    for (const file of new Set(places.values()))
      shards.set(file, await openShard(join(dirname(indexPath), file), true));
    const tensors = new Map<string, TensorInfo>();
    for (const [name, file] of places) {
      const info = shards.get(file)?.tensors.get(name);
      if (!info) fail("file", `${indexPath}: tensor ${quoted(name)} is not in ${file}, where the index puts it`);
      else tensors.set(name, info);
    }
    const read: SafetensorsReader["read"] = async (name) => {
      const shard = shards.get(places.get(name) ?? "");
      return shard ? shard.read(name) : fail("file", `${indexPath}: no tensor named ${quoted(name)}`);
    };
    const metadata = Object.assign(Object.create(null), ...[...shards.values()].map((shard) => shard.metadata));
    return { tensors, metadata, read, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Tensor name -> shard file name, checked. */
async function readIndex(path: string): Promise<Map<string, string>> {
  const index = await readJson(path, maxHeaderBytes);
  const weightMap = isRecord(index) ? index.weight_map : undefined;
  if (!isRecord(weightMap)) return fail("file", `${path}: expected an object with "weight_map"`);
  const places = new Map<string, string>();
  for (const [name, file] of Object.entries(weightMap)) {
    if (typeof file !== "string" || !/^[^./\\\0][^/\\\0]*\.safetensors$/.test(file))
      fail(
        "file",
        `${path}: ${quoted(name)} is in ${JSON.stringify(file)?.slice(0, 200)}; expected a plain *.safetensors name`,
      );
    places.set(name, file);
  }
  if (places.size === 0) fail("file", `${path}: "weight_map" names no tensor`);
  return places;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

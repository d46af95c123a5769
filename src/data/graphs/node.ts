/** Graphs as data, from files too (Node). */

import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { fail } from "../../tensor/index.js";
import { failFile, openRegular, readFully } from "../disk.js";
import { readJson } from "../json-file.js";
import { type EdgeListOptions, parseEdgeList } from "./edge-list.js";
import type { Graph } from "./graph.js";
import { graphsFromJson } from "./graph-json.js";
import { parseTUDataset, type TUDataset, type TUPart, tuParts } from "./tu-dataset.js";

export * from "./index.js";

/** One graph from a file of edges; see `parseEdgeList`. Throws where the file cannot be read. */
export const readEdgeList = async (path: string, options?: Omit<EdgeListOptions, "name">): Promise<Graph> =>
  parseEdgeList(await readText(path), { ...options, name: path });

/** Graphs from a JSON file; see `graphsFromJson`. Throws where the file cannot be read. */
export const readGraphJson = async (path: string): Promise<Graph[]> => graphsFromJson(await readJson(path), path);

/** A folder of `<name>_A.txt` and its companions; see `parseTUDataset`. Throws where there is not one such data set. */
export async function readTUDataset(folder: string): Promise<TUDataset> {
  const files = await readdir(folder).catch((error: unknown) => failFile(folder, "cannot be read as a folder", error));
  const names = files.filter((file) => file.endsWith("_A.txt")).map((file) => file.slice(0, -"_A.txt".length));
  const [name] = names;
  if (name === undefined || names.length > 1)
    return fail("file", `${folder}: expected one file <name>_A.txt, got ${names.length}`);
  const texts: Partial<Record<TUPart, string>> = {};
  for (const part of tuParts) {
    const file = `${name}_${part}.txt`;
    if (files.includes(file)) texts[part] = await readText(join(folder, file));
  }
  return parseTUDataset(texts, join(folder, name));
}

const maxBytes = 500_000_000;

async function readText(path: string): Promise<string> {
  const { handle, size } = await openRegular(path);
  try {
    if (size > maxBytes) fail("file", `${path}: ${size} bytes; expected at most ${maxBytes}`);
    const bytes = new Uint8Array(size);
    await readFully(handle, bytes, 0, path);
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    if (error instanceof TypeError) return fail("file", `${path}: expected text in UTF-8`, { cause: error });
    throw error;
  } finally {
    await handle.close();
  }
}

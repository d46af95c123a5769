import { stat } from "node:fs/promises";
import { isAbsolute, join, resolve } from "node:path";
import { glob, isDynamicPattern } from "tinyglobby";

export interface Listed {
  readonly path: string;
  /** Found by walking a folder or a pattern, not named by the user: a link is then not followed. */
  readonly found: boolean;
}

/** The files of paths, folders (recursively, hidden ones left out) and globs, each once, in order. */
export async function listFiles(inputs: readonly string[]): Promise<Listed[]> {
  const listed = new Map<string, Listed>();
  for (const input of inputs)
    for (const file of await listOne(input)) if (!listed.has(resolve(file.path))) listed.set(resolve(file.path), file);
  return [...listed.values()];
}

async function listOne(input: string): Promise<Listed[]> {
  const status = await stat(input).catch(() => undefined);
  if (status?.isDirectory()) return find("**/*", input);
  if (status || !isDynamicPattern(input)) return [{ path: input, found: false }];
  return find(input);
}

/** Sorted by UTF-16 code unit, so that the order is the same on every machine. */
async function find(pattern: string, folder?: string): Promise<Listed[]> {
  const absolute = isAbsolute(pattern);
  const options = { onlyFiles: true, dot: false, followSymbolicLinks: false, expandDirectories: false, absolute };
  const paths = await glob(pattern, folder === undefined ? options : { ...options, cwd: folder });
  return paths.sort().map((path) => ({ path: folder === undefined ? path : join(folder, path), found: true }));
}

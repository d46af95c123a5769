import { files } from "#host";
import { fail } from "../tensor/index.js";
import type { CompileOptions } from "./program.js";
import { decodeProgram, type LoadedProgram } from "./saved.js";

/** A program from a file that `save` wrote (Node only; pages have `decodeProgram`). Throws as it. */
export async function load(path: string, options: CompileOptions = {}): Promise<LoadedProgram> {
  if (!files) return fail("file", "load: this host has no files; fetch the bytes and use decodeProgram");
  return decodeProgram(await files.read(path), options, path);
}

import { fail } from "../tensor/errors.js";
import { openRegular, readFully, writeAtomically, writeFully } from "./disk.js";
import { tooMuchJson } from "./json-bounds.js";

/** JSON of a file, of at most `limit` bytes. @throws LayerwiseError "file" naming the file and what is wrong. */
export async function readJson(path: string, limit = 100_000_000): Promise<unknown> {
  const { handle, size } = await openRegular(path);
  try {
    if (size > limit) fail("file", `${path}: ${size} bytes; expected at most ${limit}`);
    const bytes = new Uint8Array(size);
    await readFully(handle, bytes, 0, path);
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    const problem = tooMuchJson(text);
    if (problem !== undefined) fail("file", `${path}: ${problem}`);
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError)
      return fail("file", `${path}: expected JSON in UTF-8 (${error.message})`, { cause: error });
    throw error;
  } finally {
    await handle.close();
  }
}

/** A value as JSON, in one step: a reader sees the old file or the new one. @throws LayerwiseError "file" where the disk refuses. */
export const writeJson = (path: string, value: unknown): Promise<void> =>
  writeAtomically(path, (handle) =>
    writeFully(handle, new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`)),
  );

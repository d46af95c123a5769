import { rmSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createGunzip } from "node:zlib";
import { fail } from "../tensor/errors.js";
import { failFile, openRegular, writeDurably, writeFully } from "./disk.js";

/** Text packs 3 to 100 times; DEFLATE can claim 1,032. Past both bounds a file is taken for a bomb. */
const freeBytes = 64 * 1024 * 1024;
const largestRatio = 200;

/** Private folders of this process, removed when it ends whichever way it ends in an orderly fashion. */
const folders = new Set<string>();
const removeAll = (): void => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
};

/** A folder only this user can read, and the function that removes it. */
export async function temporaryFolder(): Promise<{ folder: string; dispose: () => Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), "layerwise-text-"));
  if (folders.size === 0) process.once("exit", removeAll);
  folders.add(folder);
  const dispose = async (): Promise<void> => {
    await rm(folder, { recursive: true, force: true });
    folders.delete(folder);
    if (folders.size === 0) process.off("exit", removeAll);
  };
  return { folder, dispose };
}

/**
 * Unpacks `source` to the new file `target` as a stream, and returns its size.
 *
 * @throws LayerwiseError "file" for what is not gzip, is cut short, or grows past 64 MiB and 200 times its size.
 */
export async function gunzipFile(source: string, target: string, follow: boolean): Promise<number> {
  const { handle, size } = await openRegular(source, { follow });
  const limit = Math.max(freeBytes, size * largestRatio);
  let written = 0;
  try {
    await writeDurably(target, async (output) => {
      const input = handle.createReadStream({ autoClose: false });
      const unpacked = createGunzip({ chunkSize: 1 << 18 });
      input.on("error", (error) => unpacked.destroy(error));
      for await (const chunk of input.pipe(unpacked)) {
        written += (chunk as Uint8Array).length;
        if (written > limit)
          fail("file", `${source}: ${size} packed bytes unpack to more than ${limit}; refused as a gzip bomb`);
        await writeFully(output, chunk as Uint8Array);
      }
    });
  } catch (error) {
    await rm(target, { force: true });
    failFile(source, "could not be unpacked; expected a whole gzip file", error);
  } finally {
    await handle.close();
  }
  return written;
}

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
 * The bytes of a gzip file, unpacked as a stream.
 *
 * @throws LayerwiseError "file" for what is not gzip, is cut short, or grows past 64 MiB and 200 times its size.
 */
export async function* gunzipChunks(source: string, follow: boolean): AsyncGenerator<Uint8Array> {
  const { handle, size } = await openRegular(source, { follow });
  const limit = Math.max(freeBytes, size * largestRatio);
  let unpackedBytes = 0;
  const input = handle.createReadStream({ autoClose: false });
  const unpacked = createGunzip({ chunkSize: 1 << 18 });
  try {
    input.on("error", (error) => unpacked.destroy(error));
    for await (const chunk of input.pipe(unpacked)) {
      unpackedBytes += (chunk as Uint8Array).length;
      if (unpackedBytes > limit)
        fail("file", `${source}: ${size} packed bytes unpack to more than ${limit}; refused as a gzip bomb`);
      yield chunk as Uint8Array;
    }
  } catch (error) {
    failFile(source, `could not be unpacked behind byte ${unpackedBytes}; expected a whole gzip file`, error);
  } finally {
    input.destroy();
    unpacked.destroy();
    await handle.close();
  }
}

/** Unpacks `source` to the new file `target`, and returns its size. Throws what `gunzipChunks` throws. */
export async function gunzipFile(source: string, target: string, follow: boolean): Promise<number> {
  let written = 0;
  try {
    await writeDurably(target, async (output) => {
      for await (const chunk of gunzipChunks(source, follow)) {
        written += chunk.length;
        await writeFully(output, chunk);
      }
    });
  } catch (error) {
    await rm(target, { force: true });
    failFile(source, "could not be unpacked; expected a whole gzip file", error);
  }
  return written;
}

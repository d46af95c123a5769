import { fail } from "../../tensor/errors.js";
import { openRegular, readFully } from "../disk.js";
import { gunzipChunks } from "../gzip-file.js";

const maxBytes = 2 ** 31;

/** A whole file; a name that ends in .gz is unpacked. Throws LayerwiseError "file". */
export async function readWhole(path: string): Promise<Uint8Array> {
  if (path.endsWith(".gz")) {
    const chunks: Uint8Array[] = [];
    for await (const chunk of gunzipChunks(path, true)) chunks.push(chunk);
    return Buffer.concat(chunks);
  }
  const { handle, size } = await openRegular(path);
  try {
    if (size > maxBytes) fail("file", `${path}: ${size} bytes; expected at most ${maxBytes}`);
    const bytes = new Uint8Array(size);
    await readFully(handle, bytes, 0, path);
    return bytes;
  } finally {
    await handle.close();
  }
}

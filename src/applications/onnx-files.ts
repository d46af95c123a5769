/** ONNX files of others, with the values that lie next to them. */
import { realpath } from "node:fs/promises";
import { dirname, join, sep } from "node:path";
import { failFile, openRegular, readFully } from "../data/disk.js";
import { decodeOnnx, type ExternalPlace, type OnnxModel, withValuesInside } from "../inspect/index.js";
import { fail } from "../tensor/errors.js";

/**
 * Reads an ONNX file whole: values that lie in files next to it are put inside.
 *
 * @throws LayerwiseError "file" naming the file, for one that is missing or broken, whose values are missing or cut, or
 * that names a place outside its folder.
 */
export async function readOnnx(path: string): Promise<OnnxModel> {
  const file = await openRegular(path);
  try {
    if (file.size >= 2 ** 31) fail("file", `${path}: ${file.size} bytes are more than an ONNX file can hold (2 GB)`);
    const bytes = new Uint8Array(file.size);
    await readFully(file.handle, bytes, 0, path);
    return await withValuesInside(decodeOnnx(bytes, path), externalReader(path), path);
  } finally {
    await file.handle.close();
  }
}

/**
 * Values that share a place (tied weights) share its bytes; beyond that no byte is read twice, so that a file of a few lines
 * cannot ask for another one a thousand times.
 */
function externalReader(model: string): (place: ExternalPlace) => Promise<Uint8Array> {
  const read = new Map<string, Uint8Array>();
  const taken = new Map<string, number>();
  return async (place) => {
    const key = JSON.stringify([place.location, place.offset, place.length]);
    const known = read.get(key);
    if (known) return known;
    const before = taken.get(place.location) ?? 0;
    const bytes = await readExternal(model, place, before);
    read.set(key, bytes);
    taken.set(place.location, before + bytes.length);
    return bytes;
  };
}

async function readExternal(
  model: string,
  { name, location, offset, length }: ExternalPlace,
  before: number,
): Promise<Uint8Array> {
  const path = join(dirname(model), location);
  const [real, folder] = await Promise.all([realpath(path), realpath(dirname(model))]).catch((error) =>
    failFile(path, `cannot be opened; value "${name}" of ${model} lies in it`, error),
  );
  if (!real.startsWith(folder + sep))
    fail("file", `${model}: value "${name}" lies in ${path}, a link that leads out of the model's folder`);
  const file = await openRegular(real, { follow: false });
  try {
    if (file.links > 1)
      fail("file", `${model}: value "${name}" lies in ${path}, which may not be a hard link; copy the file instead`);
    const count = length ?? file.size - offset;
    if (count < 0 || offset + count > file.size)
      fail(
        "file",
        `${model}: value "${name}" is ${count} bytes at ${offset} of ${path}, which has ${file.size}; is it whole?`,
      );
    if (before + count > file.size)
      fail("file", `${model}: value "${name}" at ${offset} of ${path} overlaps others: in all they are longer than it`);
    const bytes = new Uint8Array(count);
    await readFully(file.handle, bytes, offset, path);
    return bytes;
  } finally {
    await file.handle.close();
  }
}

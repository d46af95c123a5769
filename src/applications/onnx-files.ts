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
    return await withValuesInside(decodeOnnx(bytes, path), (place) => readExternal(path, place), path);
  } finally {
    await file.handle.close();
  }
}

async function readExternal(model: string, { name, location, offset, length }: ExternalPlace): Promise<Uint8Array> {
  const path = join(dirname(model), location);
  const [real, folder] = await Promise.all([realpath(path), realpath(dirname(model))]).catch((error) =>
    failFile(path, `cannot be opened; value "${name}" of ${model} lies in it`, error),
  );
  if (!real.startsWith(folder + sep))
    fail("file", `${model}: value "${name}" lies in ${path}, a link that leads out of the model's folder`);
  const file = await openRegular(real);
  try {
    const count = length ?? file.size - offset;
    if (count < 0 || offset + count > file.size)
      fail(
        "file",
        `${model}: value "${name}" is ${count} bytes at ${offset} of ${path}, which has ${file.size}; is it whole?`,
      );
    const bytes = new Uint8Array(count);
    await readFully(file.handle, bytes, offset, path);
    return bytes;
  } finally {
    await file.handle.close();
  }
}

import { fail } from "../../tensor/errors.js";
import { channelStatistics, type ImageDataset, memoryImages, sharedBytes } from "./dataset.js";

export interface IdxArray {
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

/**
 * An IDX file of unsigned bytes: 0, 0, 8, the number of dimensions, each as a big-endian uint32, the bytes (The MNIST
 * Database of Handwritten Digits, LeCun, Cortes and Burges, 1998). `data` is a view of `bytes`.
 *
 * @throws LayerwiseError "file" with the name and the byte, before anything is allocated.
 */
export function parseIdx(bytes: Uint8Array, name: string): IdxArray {
  const [zero0 = -1, zero1 = -1, type = -1, dimensions = -1] = bytes;
  if (zero0 !== 0 || zero1 !== 0)
    fail("file", `${name}, byte 0: expected an IDX file, which begins with two zero bytes, got ${zero0}, ${zero1}`);
  if (type !== 8) fail("file", `${name}, byte 2: elements of type ${type}; expected 8, unsigned bytes`);
  if (dimensions < 1 || dimensions > 8) fail("file", `${name}, byte 3: ${dimensions} dimensions; expected 1 to 8`);
  const start = 4 + 4 * dimensions;
  if (bytes.length < start) fail("file", `${name}, byte ${bytes.length}: ends inside its header of ${start} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const shape = Array.from({ length: dimensions }, (_, i) => view.getUint32(4 + 4 * i));
  const size = shape.reduce((a, b) => a * b, 1);
  if (size !== bytes.length - start)
    fail(
      "file",
      `${name}, byte ${start}: ${shape.join(" x ")} elements are announced, ${bytes.length - start} bytes follow; was it cut?`,
    );
  return { shape, data: bytes.subarray(start) };
}

/** A file's bytes, and its name for errors. */
export interface NamedBytes {
  readonly bytes: Uint8Array;
  readonly name: string;
}

/**
 * MNIST and its kin: images [n, height, width] or [n, channels, height, width], labels [n].
 *
 * @throws LayerwiseError "file" for broken files or ones that do not belong together.
 */
export function idxImages(images: NamedBytes, labels: NamedBytes, classes?: readonly string[]): ImageDataset {
  const { shape, data } = parseIdx(images.bytes, images.name);
  const { shape: labelShape, data: labelData } = parseIdx(labels.bytes, labels.name);
  if (shape.length !== 3 && shape.length !== 4)
    fail("file", `${images.name}, byte 3: ${shape.length} dimensions; expected images in 3 or 4`);
  if (labelShape.length !== 1 || labelShape[0] !== shape[0])
    fail("file", `${labels.name}: labels ${labelShape.join(" x ")} for ${shape[0]} images in ${images.name}`);
  const [height, width] = shape.slice(-2) as [number, number];
  const channels = shape.length === 4 ? (shape[1] as number) : 1;
  if (channels * height * width === 0 || shape[0] === 0)
    fail("file", `${images.name}, byte 4: ${shape.join(" x ")}; expected at least one image of one pixel`);
  const count = classes?.length ?? labelData.reduce((most, label) => Math.max(most, label), 0) + 1;
  const beyond = labelData.findIndex((label) => label >= count);
  if (beyond >= 0)
    fail("file", `${labels.name}, byte ${8 + beyond}: label ${labelData[beyond]}; expected 0 to ${count - 1}`);
  const pixels = sharedBytes(data.length);
  pixels.set(data);
  return memoryImages({
    ...{ pixels, channels, height, width },
    labels: Int32Array.from(labelData),
    classes: classes ?? Array.from({ length: count }, (_, i) => String(i)),
    ...channelStatistics(pixels, channels, height * width),
  });
}

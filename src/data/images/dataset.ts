import { fail } from "../../tensor/errors.js";
import { decodeImage } from "./decode.js";
import type { Picture } from "./picture.js";

export interface Example {
  readonly image: Picture;
  readonly label: number;
}

/** Labelled images, whatever they are stored in. */
export interface ImageDataset {
  readonly length: number;
  /** Names of the classes; a label is a place here. */
  readonly classes: readonly string[];
  /** Per channel, of values in [0, 1]: what `normalize` subtracts and divides by. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
  /** What the set is made of: workers open it again from this. */
  readonly source: ImageSource;
  /** @throws LayerwiseError "argument" outside 0 … length − 1, "file" for an image that does not decode. */
  get(index: number): Promise<Example>;
}

interface Described {
  readonly classes: readonly string[];
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/** Bytes [length, channels, height, width] in memory; on shared memory, workers read them without a copy. */
export interface MemorySource extends Described {
  readonly kind: "memory";
  readonly pixels: Uint8Array;
  readonly labels: Int32Array;
  readonly channels: number;
  readonly height: number;
  readonly width: number;
}

/** PNG or JPEG files, decoded when they are asked for. `file` is a path (an address in the browser) or a Blob. */
export interface EncodedSource extends Described {
  readonly kind: "encoded";
  readonly channels: 1 | 3;
  readonly items: readonly { readonly name: string; readonly file: string | Blob; readonly label: number }[];
}

export type ImageSource = MemorySource | EncodedSource;

/** How a path or an address becomes bytes: files in Node, `fetch` in the browser. */
export type ReadBytes = (file: string) => Promise<Uint8Array>;

/** The set a source describes. */
export const openImages = (source: ImageSource, read: ReadBytes): ImageDataset =>
  source.kind === "memory" ? memoryImages(source) : encodedImages(source, read);

/** @throws LayerwiseError "shape" when the sizes do not fit, "argument" for a label that is no class. */
export function memoryImages(source: Omit<MemorySource, "kind">): ImageDataset {
  const { pixels, labels, channels, height, width, classes, mean, std } = source;
  const size = channels * height * width;
  if (pixels.length !== labels.length * size)
    fail(
      "shape",
      `images: ${labels.length} labels of ${channels}x${height}x${width} need ${labels.length * size} bytes, got ${pixels.length}`,
    );
  labels.forEach((label, i) => {
    checkLabel(label, classes, `image ${i}`);
  });
  return {
    length: labels.length,
    ...{ classes, mean, std },
    source: { kind: "memory", ...source },
    async get(index) {
      checkIndex(index, labels.length);
      const data = new Float32Array(size);
      for (let i = 0, start = index * size; i < size; i++) data[i] = (pixels[start + i] as number) / 255;
      return { image: { channels, height, width, data }, label: labels[index] as number };
    },
  };
}

/** @throws LayerwiseError "argument" for a label that is no class. */
export function encodedImages(source: Omit<EncodedSource, "kind">, read: ReadBytes): ImageDataset {
  const { items, channels, classes, mean, std } = source;
  for (const { name, label } of items) checkLabel(label, classes, name);
  return {
    length: items.length,
    ...{ classes, mean, std },
    source: { kind: "encoded", ...source },
    async get(index) {
      checkIndex(index, items.length);
      const { name, file, label } = items[index] as (typeof items)[number];
      const bytes = typeof file === "string" ? await read(file) : new Uint8Array(await file.arrayBuffer());
      return { image: decodeImage(bytes, name, channels), label };
    },
  };
}

/** Memory that workers share; plain memory where a page is not cross-origin isolated. */
export function sharedBytes(length: number): Uint8Array<ArrayBufferLike> {
  return new Uint8Array(
    typeof SharedArrayBuffer === "undefined" ? new ArrayBuffer(length) : new SharedArrayBuffer(length),
  );
}

/** Mean and (biased) standard deviation of bytes [n, channels, size], per channel, on the scale [0, 1]. */
export function channelStatistics(
  pixels: Uint8Array,
  channels: number,
  size: number,
): { mean: number[]; std: number[] } {
  const sums = Array.from({ length: channels }, () => [0, 0] as [number, number]);
  for (let start = 0, c = 0; start < pixels.length; start += size, c = (c + 1) % channels) {
    const sum = sums[c] as [number, number];
    for (let i = start; i < start + size; i++) {
      const x = pixels[i] as number;
      sum[0] += x;
      sum[1] += x * x;
    }
  }
  const count = pixels.length / channels;
  const mean = sums.map(([sum]) => sum / count / 255);
  // A constant channel divides by 1, not by 0.
  const std = sums.map(([sum, squares]) => Math.sqrt(Math.max(0, squares / count - (sum / count) ** 2)) / 255 || 1);
  return { mean, std };
}

function checkIndex(index: number, length: number): void {
  if (!Number.isInteger(index) || index < 0 || index >= length)
    fail("argument", `images: index ${index}; expected a whole number from 0 to ${length - 1}`);
}

function checkLabel(label: number, classes: readonly string[], where: string): void {
  if (!Number.isInteger(label) || label < 0 || label >= classes.length)
    fail(
      "argument",
      `images: ${where} has label ${label}; expected 0 to ${classes.length - 1} (${classes.length} classes)`,
    );
}

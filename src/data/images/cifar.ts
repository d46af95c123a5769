import { fail } from "../../tensor/errors.js";
import { channelStatistics, type ImageDataset, memoryImages, sharedBytes } from "./dataset.js";
import type { NamedBytes } from "./idx.js";

const pixelBytes = 3 * 32 * 32;

export const cifar10Classes = [
  ...["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"],
] as const;

/**
 * CIFAR's binary files laid end to end: records of one label (CIFAR-10), or a coarse and a fine one (CIFAR-100), and
 * 3072 bytes of red, green and blue planes, 32 x 32 (Learning Multiple Layers of Features from Tiny Images,
 * Krizhevsky, 2009). CIFAR-100 gives the fine labels, or the 20 coarse ones.
 *
 * @throws LayerwiseError "file" with the file and the byte for a size or a label that cannot be.
 */
export function cifarImages(
  files: readonly NamedBytes[],
  kind: "cifar10" | "cifar100" | "cifar100-coarse" = "cifar10",
  classes: readonly string[] = defaultClasses[kind](),
): ImageDataset {
  const head = kind === "cifar10" ? 1 : 2;
  const record = head + pixelBytes;
  const place = kind === "cifar100" ? 1 : 0;
  for (const { bytes, name } of files)
    if (bytes.length === 0 || bytes.length % record !== 0)
      fail(
        "file",
        `${name}, byte ${bytes.length - (bytes.length % record)}: ${bytes.length} bytes; expected whole records of ${record} (${kind})`,
      );
  const count = files.reduce((sum, { bytes }) => sum + bytes.length / record, 0);
  if (count === 0) fail("argument", "cifar: no files; expected data_batch_1.bin and its companions");
  const pixels = sharedBytes(count * pixelBytes);
  const labels = new Int32Array(count);
  let n = 0;
  for (const { bytes, name } of files)
    for (let at = 0; at < bytes.length; at += record, n++) {
      const label = bytes[at + place] as number;
      if (label >= classes.length)
        fail("file", `${name}, byte ${at + place}: label ${label}; expected 0 to ${classes.length - 1}`);
      labels[n] = label;
      pixels.set(bytes.subarray(at + head, at + record), n * pixelBytes);
    }
  const statistics = channelStatistics(pixels, 3, 32 * 32);
  return memoryImages({ pixels, labels, channels: 3, height: 32, width: 32, classes, ...statistics });
}

const numbered = (count: number): readonly string[] => Array.from({ length: count }, (_, i) => String(i));
const defaultClasses = {
  cifar10: (): readonly string[] => cifar10Classes,
  cifar100: () => numbered(100),
  "cifar100-coarse": () => numbered(20),
};

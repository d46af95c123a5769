/** Images as data, from files and with worker threads (Node). */
import { readdir } from "node:fs/promises";
import { dirname, extname, isAbsolute, join, relative, sep } from "node:path";
import { fail } from "../../tensor/errors.js";
import { failFile } from "../disk.js";
import { listFiles } from "../list-files.js";
import { locatedRecords } from "../records.js";
import { cifarImages } from "./cifar.js";
import { type EncodedSource, encodedImages, type ImageDataset } from "./dataset.js";
import { readWhole } from "./files.js";
import { idxImages, type NamedBytes } from "./idx.js";
import { type ImageBatches, type ImageBatchOptions, loadBatches } from "./loader.js";
import { openThread } from "./worker-thread.js";

export * from "./index.js";

const named = async (path: string): Promise<NamedBytes> => ({ bytes: await readWhole(path), name: path });

/** Images and labels in IDX files, gzipped or not; see `idxImages`. */
export const readIdx = async (images: string, labels: string, classes?: readonly string[]): Promise<ImageDataset> =>
  idxImages(await named(images), await named(labels), classes);

/**
 * One part of MNIST or of a set with its file names (`train-images-idx3-ubyte`, …, with or without .gz).
 *
 * @throws LayerwiseError "file" when the folder lacks one of the two files.
 */
export async function readMnist(folder: string, part: "train" | "test" = "train"): Promise<ImageDataset> {
  const files = await namesIn(folder);
  const find = (kind: string): string => {
    const name = `${part === "train" ? "train" : "t10k"}-${kind}-ubyte`;
    const file = [name, `${name}.gz`].find((file) => files.includes(file));
    return join(folder, file ?? fail("file", `${folder}: expected a file ${name} or ${name}.gz`));
  };
  return readIdx(find("images-idx3"), find("labels-idx1"));
}

/** CIFAR's binary files, in the order given; see `cifarImages`. */
export const readCifar = async (
  paths: readonly string[],
  kind?: Parameters<typeof cifarImages>[1],
  classes?: readonly string[],
): Promise<ImageDataset> => cifarImages(await Promise.all(paths.map(named)), kind, classes);

export interface EncodedOptions {
  /** Planes of every picture (default 3). */
  readonly channels?: 1 | 3;
  /** Default: those of ImageNet (0.485, 0.456, 0.406 and 0.229, 0.224, 0.225), or 0.5 and 0.5 for grey. */
  readonly mean?: readonly number[];
  readonly std?: readonly number[];
}

const described = ({ channels = 3, mean, std }: EncodedOptions): Pick<EncodedSource, "channels" | "mean" | "std"> => ({
  channels,
  mean: mean ?? (channels === 3 ? [0.485, 0.456, 0.406] : [0.5]),
  std: std ?? (channels === 3 ? [0.229, 0.224, 0.225] : [0.5]),
});

const isImage = (path: string): boolean => [".png", ".jpg", ".jpeg"].includes(extname(path).toLowerCase());

/**
 * `root/class/**.png` or `.jpg`: classes are the folders' names, sorted; files are decoded when they are asked for.
 * Other files, hidden ones and links are passed over.
 *
 * @throws LayerwiseError "file" for a missing folder, a class without images, or images beside the class folders.
 */
export async function imageFolder(root: string, options: EncodedOptions = {}): Promise<ImageDataset> {
  const entries = await readdir(root, { withFileTypes: true }).catch((error: unknown) =>
    failFile(root, "cannot be read as a folder", error),
  );
  const folders = entries.filter((entry) => entry.isDirectory() && !entry.name.startsWith("."));
  const classes = folders.map(({ name }) => name).sort();
  if (classes.length === 0)
    fail("file", `${root}: expected a folder per class with images in it; for a flat one with labels use imageTable`);
  const files = (await listFiles([root])).map(({ path }) => path).filter(isImage);
  const items = files.map((file) => {
    const [folder = "", rest] = relative(root, file).split(sep);
    if (rest === undefined) fail("file", `${file}: an image beside the class folders; move it into one`);
    return { name: file, file, label: classes.indexOf(folder) };
  });
  classes.forEach((name, label) => {
    if (!items.some((item) => item.label === label)) fail("file", `${join(root, name)}: a class without PNG or JPEG`);
  });
  return encodedImages({ items, classes, ...described(options) }, readWhole);
}

export interface TableOptions extends EncodedOptions {
  /** The column of file names, relative to the table's folder (default "file"). */
  readonly file?: string;
  /** The column of class names (default "label"). */
  readonly label?: string;
  /** Where the files are (default: the table's folder). */
  readonly root?: string;
}

/**
 * A flat folder with a table of labels: CSV or TSV with a header. Classes are the labels found, sorted (as numbers when
 * all are).
 *
 * @throws LayerwiseError "file" with the line for a missing column or a name that leads out of the folder.
 */
export async function imageTable(path: string, options: TableOptions = {}): Promise<ImageDataset> {
  const { file = "file", label = "label", root = dirname(path) } = options;
  const rows: { name: string; file: string; text: string }[] = [];
  for await (const { record, place } of locatedRecords(path)) {
    const [name, text] = [record[file], record[label]];
    if (typeof name !== "string" || typeof text !== "string")
      return fail(
        "file",
        `${place}: expected the columns "${file}" and "${label}", got ${Object.keys(record).join(", ")}`,
      );
    const inner = relative(root, join(root, name));
    if (isAbsolute(name) || inner.startsWith(".."))
      fail("file", `${place}: "${name}" leads out of ${root}; expected a file inside it`);
    rows.push({ name: `${join(root, name)} (${place})`, file: join(root, name), text });
  }
  if (rows.length === 0) fail("file", `${path}: a table without rows`);
  const classes = [...new Set(rows.map(({ text }) => text))].sort();
  if (classes.every((name) => /^\d+$/.test(name))) classes.sort((a, b) => Number(a) - Number(b));
  const labels = new Map(classes.map((name, i) => [name, i]));
  const items = rows.map(({ name, file, text }) => ({ name, file, label: labels.get(text) as number }));
  return encodedImages({ items, classes, ...described(options) }, readWhole);
}

const namesIn = (folder: string): Promise<string[]> =>
  readdir(folder).catch((error: unknown) => failFile(folder, "cannot be read as a folder", error));

/** Batches made ahead of the training step, in worker threads when `workers` is given; see `loadBatches`. */
export const imageBatches = (dataset: ImageDataset, options: ImageBatchOptions): ImageBatches =>
  loadBatches(dataset, options, openThread);

import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deflateSync, gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { decodeImage } from "../../../src/data/images/decode.js";
import {
  type ImageDataset,
  idxImages,
  imageFolder,
  imageTable,
  parseIdx,
  readCifar,
  readMnist,
} from "../../../src/data/images/node.js";
import { goldenPath } from "../../support/golden.js";
import { difference, reference } from "./support.js";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "images-"));
});
afterAll(() => rm(folder, { recursive: true }));

const idx = (shape: readonly number[], data: readonly number[], type = 8): Uint8Array => {
  const header = Buffer.alloc(4 + 4 * shape.length);
  header.set([0, 0, type, shape.length]);
  shape.forEach((side, i) => {
    header.writeUInt32BE(side, 4 + 4 * i);
  });
  return new Uint8Array(Buffer.concat([header, Uint8Array.from(data)]));
};

/** A PNG of 8-bit colours around packed rows. */
function png(width: number, height: number, packed: Uint8Array): Uint8Array {
  const chunk = (kind: string, data: Uint8Array): Buffer => {
    const body = Buffer.concat([Buffer.from(kind), data]);
    const [length, check] = [Buffer.alloc(4), Buffer.alloc(4)];
    length.writeUInt32BE(data.length);
    check.writeUInt32BE(crc32(body));
    return Buffer.concat([length, body, check]);
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width);
  header.writeUInt32BE(height, 4);
  header.set([8, 2], 8);
  const magic = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return new Uint8Array(
    Buffer.concat([magic, chunk("IHDR", header), chunk("IDAT", packed), chunk("IEND", Buffer.alloc(0))]),
  );
}

function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? 0xedb88320 ^ (crc >>> 1) : crc >>> 1;
  }
  return (crc ^ 0xffffffff) >>> 0;
}

const images = idx([3, 2, 2], [0, 51, 102, 255, 0, 0, 0, 0, 255, 255, 255, 255]);
const labels = idx([3], [7, 0, 2]);

describe("IDX", () => {
  test("reads MNIST's files, packed or not, with mean and deviation per channel", async () => {
    await writeFile(join(folder, "t10k-images-idx3-ubyte.gz"), gzipSync(images));
    await writeFile(join(folder, "t10k-labels-idx1-ubyte"), labels);
    const set = await readMnist(folder, "test");
    expect([set.length, set.classes.length]).toEqual([3, 8]);
    const { image, label } = await set.get(0);
    expect(label).toBe(7);
    expect(Array.from(image.data)).toEqual(Array.from(Float32Array.of(0, 0.2, 0.4, 1)));
    const values = [0, 0.2, 0.4, 1, 0, 0, 0, 0, 1, 1, 1, 1];
    const mean = values.reduce((a, b) => a + b) / 12;
    expect(set.mean[0]).toBeCloseTo(mean, 10);
    expect(set.std[0]).toBeCloseTo(Math.sqrt(values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / 12), 10);
    await expect(readMnist(folder, "train")).rejects.toMatchObject({ code: "file" });
  });

  test.each([
    ["no magic", Uint8Array.of(1, 2, 3, 4), /x\.idx, byte 0: .*two zero bytes/],
    ["empty", new Uint8Array(), /byte 0/],
    ["another element type", idx([1], [1, 2, 3, 4], 13), /byte 2: elements of type 13/],
    ["no dimensions", Uint8Array.of(0, 0, 8, 0), /byte 3: 0 dimensions/],
    ["a cut header", images.subarray(0, 9), /byte 9: ends inside its header/],
    ["cut data", images.subarray(0, 20), /byte 16: 3 x 2 x 2 elements are announced, 4 bytes follow/],
    ["data behind the end", Buffer.concat([labels, labels]), /byte 8: 3 elements/],
    ["a claim of 2^128 elements", idx([0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff], [1]), /announced, 1 bytes/],
  ])("refuses %s with the place", (_, bytes, message) => {
    expect(() => parseIdx(bytes, "x.idx")).toThrow(expect.objectContaining({ code: "file" }));
    expect(() => parseIdx(bytes, "x.idx")).toThrow(message);
  });

  test("labels that do not belong to the images are refused", () => {
    const set = (bytes: Uint8Array, classes?: string[]): ImageDataset =>
      idxImages({ bytes: images, name: "i" }, { bytes, name: "l" }, classes);
    expect(() => set(idx([2], [0, 1]))).toThrow("l: labels 2 for 3 images in i");
    expect(() => set(labels, ["a", "b"])).toThrow("l, byte 8: label 7; expected 0 to 1");
  });
});

describe("CIFAR", () => {
  const record = (...head: number[]): number[] => [...head, ...Array.from({ length: 3072 }, (_, i) => i >> 10)];
  test("CIFAR-10 and CIFAR-100, fine and coarse", async () => {
    const [ten, hundred] = [join(folder, "ten.bin"), join(folder, "hundred.bin")];
    await writeFile(ten, Uint8Array.from([...record(3), ...record(9)]));
    await writeFile(hundred, Uint8Array.from(record(4, 77)));
    const set = await readCifar([ten, ten]);
    expect([set.length, set.classes[9], (await set.get(3)).label]).toEqual([4, "truck", 9]);
    expect(set.mean).toEqual([0, 1 / 255, 2 / 255]);
    expect((await (await readCifar([hundred], "cifar100")).get(0)).label).toBe(77);
    expect((await (await readCifar([hundred], "cifar100-coarse")).get(0)).label).toBe(4);
    await expect(set.get(4)).rejects.toThrow("index 4; expected a whole number from 0 to 3");
  });

  test("a cut file and a label that is none", async () => {
    const path = join(folder, "broken.bin");
    await writeFile(path, Uint8Array.from([...record(3), 1, 2]));
    await expect(readCifar([path])).rejects.toThrow(`${path}, byte 3073: 3075 bytes; expected whole records of 3073`);
    await writeFile(path, Uint8Array.from([...record(3), ...record(10)]));
    await expect(readCifar([path])).rejects.toThrow(`${path}, byte 3073: label 10; expected 0 to 9`);
  });
});

describe("PNG and JPEG", () => {
  const names = ["rgb.png", "grey.png", "alpha.png", "palette.png", "bits.png", "deep.png"];
  test.each(names)("%s as Pillow reads it", async (name) => {
    const picture = decodeImage(await readFile(goldenPath(`images/${name}`)), name);
    expect(difference(picture, reference(`file.${name}`)).most).toBeLessThan(1e-3);
  });

  test("photo.jpg within three steps of Pillow: its transform is another approximation", async () => {
    const picture = decodeImage(await readFile(goldenPath("images/photo.jpg")), "photo.jpg");
    const { most, mean } = difference(picture, reference("file.photo.jpg"));
    expect(most).toBeLessThan(3.5);
    expect(mean).toBeLessThan(0.8);
  });

  test("every cut of a PNG, and every changed chunk, is an error with the file's name", async () => {
    const bytes = new Uint8Array(await readFile(goldenPath("images/rgb.png")));
    for (let length = 0; length < bytes.length; length++)
      expect(() => decodeImage(bytes.subarray(0, length), "cut.png")).toThrow(/^cut\.png/);
    const changed = bytes.slice();
    changed[45] = (changed[45] as number) ^ 0xff;
    expect(() => decodeImage(changed, "changed.png")).toThrow(expect.objectContaining({ code: "file" }));
    const vast = bytes.slice();
    vast.set([0x7f, 0xff, 0xff, 0xff], 16);
    expect(() => decodeImage(vast, "vast.png")).toThrow("vast.png, byte 16: 2147483647 x 7 pixels");
  });

  test("packed pixels that cannot be the picture's are refused before they are unpacked", () => {
    const bomb = png(2, 2, deflateSync(Buffer.alloc(50_000_000)));
    expect(() => decodeImage(bomb, "bomb.png")).toThrow(
      /^bomb\.png, byte 16: \d+ bytes of packed pixels cannot be 2 x 2 pixels/,
    );
    const claim = png(10_000, 10_000, deflateSync(Buffer.alloc(100)));
    expect(() => decodeImage(claim, "claim.png")).toThrow("cannot be 10000 x 10000 pixels");
    const short = png(4, 4, deflateSync(Buffer.alloc(14)));
    expect(() => decodeImage(short, "short.png")).toThrow(/^short\.png: broken PNG/);
    expect(decodeImage(png(2, 2, deflateSync(Buffer.alloc(14, 0))), "black.png").data).toEqual(new Float32Array(12));
  });

  test("a cut JPEG and other files are errors", async () => {
    const bytes = new Uint8Array(await readFile(goldenPath("images/photo.jpg")));
    for (const length of [2, 20, 200, 600])
      expect(() => decodeImage(bytes.subarray(0, length), "cut.jpg")).toThrow(
        /^cut\.jpg, byte \d+: (a segment of|the JPEG ends here)|^cut\.jpg: broken JPEG/,
      );
    expect(() => decodeImage(Buffer.from("GIF89a"), "a.gif")).toThrow("a.gif, byte 0: expected a PNG or JPEG file");
  });
});

describe("folders and tables", () => {
  test("a folder per class, sorted", async () => {
    const root = join(folder, "classes");
    for (const name of ["dog", "cat"]) await mkdir(join(root, name), { recursive: true });
    await writeFile(join(root, "dog", "a.png"), await readFile(goldenPath("images/rgb.png")));
    await writeFile(join(root, "cat", "b.JPG"), await readFile(goldenPath("images/photo.jpg")));
    await writeFile(join(root, "cat", "notes.txt"), "not an image");
    const set = await imageFolder(root);
    expect([set.length, set.classes]).toEqual([2, ["cat", "dog"]]);
    expect((await set.get(1)).label).toBe(1);
    expect(difference((await set.get(1)).image, reference("file.rgb.png")).most).toBeLessThan(1e-3);
    await mkdir(join(root, "empty"));
    await expect(imageFolder(root)).rejects.toThrow("a class without PNG or JPEG");
    await expect(imageFolder(join(root, "nowhere"))).rejects.toMatchObject({ code: "file" });
  });

  test("a flat folder with a table of labels", async () => {
    await writeFile(join(folder, "one.png"), await readFile(goldenPath("images/rgb.png")));
    const table = join(folder, "labels.csv");
    await writeFile(table, "file,label\none.png,10\none.png,9\n");
    const set = await imageTable(table, { channels: 1 });
    expect([set.classes, (await set.get(0)).label, (await set.get(0)).image.channels]).toEqual([["9", "10"], 1, 1]);
    await writeFile(table, "file,label\n../secret.png,1\n");
    await expect(imageTable(table)).rejects.toThrow(/line 2: "\.\.\/secret\.png" leads out of/);
    await writeFile(table, "name,label\none.png,1\n");
    await expect(imageTable(table)).rejects.toThrow('expected the columns "file" and "label", got name, label');
  });
});

import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type * as Images from "../../../src/data/images/node.js";
import { goldenPath } from "../../support/golden.js";

// Worker threads run compiled files, so these tests take the built package.
const built = new URL("../../../dist/data/images/node.js", import.meta.url);
let images: typeof Images;
let folder = "";
beforeAll(async () => {
  if (!existsSync(built)) execFileSync("npm", ["run", "--silent", "build"]);
  images = (await import(pathToFileURL(new URL(built).pathname).href)) as typeof Images;
  folder = await mkdtemp(join(tmpdir(), "loader-"));
});
afterAll(() => rm(folder, { recursive: true }));

const transforms: Images.Transform[] = [
  { name: "randomCrop", size: 20, padding: 2 },
  { name: "horizontalFlip" },
  { name: "colorJitter", brightness: 0.3, hue: 0.1 },
  { name: "randomErasing" },
];

type Taken = { images: number[]; labels: number[]; targets: number[] | undefined };
async function take(set: Images.ImageDataset, options: Images.ImageBatchOptions): Promise<Taken[]> {
  const taken: Taken[] = [];
  for await (const batch of images.imageBatches(set, options))
    taken.push({
      images: Array.from(batch.images.data as Float32Array),
      labels: Array.from(batch.labels.data as Int32Array),
      targets: batch.targets && Array.from(batch.targets.data as Float32Array),
    });
  return taken;
}

describe("batches", () => {
  test("are the same for any number of workers, and from any start", async () => {
    const set = images.shapeImages(30);
    const options = { size: 8, seed: 3, steps: 6, transforms, mix: { mixup: 0.2, cutmix: 1 } };
    const alone = await take(set, options);
    expect(alone).toHaveLength(6);
    expect(await take(set, { ...options, workers: 1 })).toEqual(alone);
    expect(await take(set, { ...options, workers: 2, prefetch: 5 })).toEqual(alone);
    expect(await take(set, { ...options, workers: 2, start: 4 })).toEqual(alone.slice(4));
    expect(await take(set, { ...options, seed: 4 })).not.toEqual(alone);
  });

  test("a pass takes every image once; without shuffling in order, the last batch short", async () => {
    const set = images.shapeImages(10);
    const labels = await Promise.all(Array.from({ length: 10 }, async (_, i) => (await set.get(i)).label));
    const ordered = await take(set, { size: 4, shuffle: false });
    expect(ordered.map((batch) => batch.labels)).toEqual([labels.slice(0, 4), labels.slice(4, 8), labels.slice(8)]);
    const first = Array.from((await set.get(0)).image.data, (x) => (x - 0.5) / 0.5);
    expect(ordered[0]?.images[5]).toBeCloseTo(first[5] as number, 5);
    const shuffled = (await take(set, { size: 5 })).flatMap((batch) => batch.labels);
    expect(shuffled.toSorted()).toEqual(labels.toSorted());
    expect((await take(set, { size: 2, only: [7, 7], steps: 1 }))[0]?.labels).toEqual([labels[7], labels[7]]);
  });

  test("files are decoded in the worker; a broken one is a typed error where its batch is due", async () => {
    await mkdir(join(folder, "a"), { recursive: true });
    for (const name of ["1.png", "2.png"])
      await writeFile(join(folder, "a", name), await readFile(goldenPath("images/rgb.png")));
    const set = await images.imageFolder(folder);
    const one = { size: 1, shuffle: false } as const;
    expect(await take(set, { ...one, workers: 1 })).toEqual(await take(set, one));
    await writeFile(join(folder, "a", "2.png"), (await readFile(goldenPath("images/rgb.png"))).subarray(0, 60));
    const batches = images.imageBatches(set, { ...one, workers: 1 });
    expect((await batches.next()).value?.labels.size).toBe(1);
    await expect(batches.next()).rejects.toMatchObject({
      code: "file",
      message: expect.stringContaining("2.png, byte"),
    });
  });

  test("pictures of several sizes are refused with what to do", async () => {
    await mkdir(join(folder, "sizes", "a"), { recursive: true });
    await writeFile(join(folder, "sizes", "a", "1.png"), await readFile(goldenPath("images/rgb.png")));
    await writeFile(join(folder, "sizes", "a", "2.jpg"), await readFile(goldenPath("images/photo.jpg")));
    const set = await images.imageFolder(join(folder, "sizes"));
    await expect(take(set, { size: 2, shuffle: false })).rejects.toThrow(
      'image 1 is 3x32x32, image 0 3x7x11; give a transform such as { name: "resize", size }',
    );
    expect(await take(set, { size: 2, shuffle: false, transforms: [{ name: "resize", size: 8 }] })).toHaveLength(1);
  });

  test("a signal ends the loop and its workers, also while a batch is awaited", async () => {
    const abort = new AbortController();
    const batches = images.imageBatches(images.shapeImages(64), {
      ...{ size: 64, steps: 1000, workers: 2, signal: abort.signal },
      transforms: [{ name: "corrupt", corruption: "elastic_transform", severity: 3 }],
    });
    await batches.next();
    const pending = batches.next();
    abort.abort(new Error("enough"));
    await expect(pending).rejects.toThrow("enough");
    expect((await batches.next()).done).toBe(true);
    await expect(images.imageBatches(images.shapeImages(4), { size: 2, signal: abort.signal }).next()).rejects.toThrow(
      "enough",
    );
  });

  test("leaving early ends the workers: the process is not kept alive", () => {
    const program = `
      import { imageBatches, shapeImages } from ${JSON.stringify(built.href)};
      for await (const batch of imageBatches(shapeImages(64), { size: 8, steps: 1e6, workers: 2 })) {
        console.log(batch.images.shape.join("x"));
        break;
      }`;
    const output = execFileSync(process.execPath, ["--input-type=module", "-e", program], { encoding: "utf8" });
    expect(output.trim()).toBe("8x3x20x20");
  });

  test.each([
    [{ size: 0 }, "size is 0"],
    [{ size: 2, workers: -1 }, "workers is -1"],
    [{ size: 2, workers: 2, prefetch: 0 }, "prefetch is 0"],
    [{ size: 2, only: [] }, "there are no images"],
    [{ size: 1, mix: { mixup: 1 } }, "mixup and cutmix need shuffled batches of at least 2"],
  ])("%o is refused", (options, message) => {
    expect(() => images.imageBatches(images.shapeImages(4), options)).toThrow(message);
  });
});

/** Back-pressure is counted on the makers' side, without threads. */
describe("workers", () => {
  test("are never asked for more than `prefetch` batches that nobody took", async () => {
    const { loadBatches } = await import("../../../src/data/images/loader.js");
    const { answerer } = await import("../../../src/data/images/port.js");
    let [asked, most, taken] = [0, 0, 0];
    const batches = loadBatches(images.shapeImages(8), { size: 2, steps: 20, workers: 2, prefetch: 3 }, (answered) => {
      const answers = answerer(async () => new Uint8Array(), answered);
      return {
        ask(question) {
          if ("step" in question) most = Math.max(most, ++asked - taken);
          void answers(question);
        },
        close: () => undefined,
      };
    });
    for await (const batch of batches) {
      taken += batch.labels.size / 2;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    // The batch being handed over, and three ahead.
    expect([asked, most]).toEqual([20, 4]);
  });

  test("one that dies fails the batch that is due", async () => {
    const { loadBatches } = await import("../../../src/data/images/loader.js");
    const batches = loadBatches(images.shapeImages(8), { size: 2, workers: 1 }, (_, died) => ({
      ask: (question) => ("step" in question ? died("out of memory") : undefined),
      close: () => undefined,
    }));
    await expect(batches.next()).rejects.toMatchObject({
      code: "backend",
      message: expect.stringContaining("out of memory"),
    });
  });
});

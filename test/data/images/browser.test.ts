import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bundledScript, chromium, withPage } from "../../support/browser.js";
import { goldenPath } from "../../support/golden.js";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "pages-"));
  // The worker's file stands beside the page's, as a bundler would put it.
  await writeFile(
    join(folder, "worker-browser.js"),
    await bundledScript(`import "./src/data/images/worker-browser.ts";`),
  );
  await writeFile(join(folder, "images.js"), await bundledScript(`export * from "./src/data/images/index.ts";`));
  for (const name of ["rgb.png", "photo.jpg"])
    await writeFile(join(folder, name), await readFile(goldenPath(`images/${name}`)));
});
afterAll(() => rm(folder, { recursive: true }));

const page = `
  import * as images from "/files/images.js";
  globalThis.suite = async () => {
    const sums = async (set, options) => {
      const taken = [];
      for await (const { images, labels } of imageBatches(set, options))
        taken.push([images.shape.join("x"), Array.from(labels.data), images.data.reduce((a, b) => a + b, 0)]);
      return taken;
    };
    const { imageBatches, shapeImages, encodedPictures } = images;
    const transforms = [{ name: "randomCrop", size: 20, padding: 2 }, { name: "colorJitter", hue: 0.2 }];
    const options = { size: 8, steps: 4, seed: 5, transforms };
    const blob = await (await fetch("/files/rgb.png")).blob();
    const items = [{ name: "a", file: blob, label: 0 }, { name: "b", file: location.origin + "/files/photo.jpg", label: 1 }];
    const set = encodedPictures({ items, channels: 3, classes: ["a", "b"], mean: [0, 0, 0], std: [1, 1, 1] });
    const files = { size: 2, shuffle: false, transforms: [{ name: "resize", size: 8 }] };
    return {
      alone: await sums(shapeImages(20), options),
      workers: await sums(shapeImages(20), { ...options, workers: 2 }),
      files: await sums(set, files),
      filesInWorker: await sums(set, { ...files, workers: 1 }),
    };
  };`;

describe.skipIf(!chromium)("in Chromium", () => {
  test.each([true, false])(
    "Web Workers make the batches of the main thread (isolated: %s), as Node does",
    async (isolated) => {
      const result = await withPage(page, { isolated, folders: { files: folder } }, (tab) =>
        tab.evaluate<Sums>("suite()"),
      );
      expect(result.workers).toEqual(result.alone);
      expect(result.alone.map(([shape]) => shape)).toEqual(new Array(4).fill("8x3x20x20"));
      expect(result.filesInWorker).toEqual(result.files);
      expect(result.files[0]?.slice(0, 2)).toEqual(["2x3x8x8", [0, 1]]);
      const { imageBatches, shapeImages } = await import("../../../src/data/images/node.js");
      const transforms = [
        { name: "randomCrop", size: 20, padding: 2 },
        { name: "colorJitter", hue: 0.2 },
      ] as const;
      const first = await imageBatches(shapeImages(20), { size: 8, steps: 4, seed: 5, transforms }).next();
      expect(Array.from(first.value?.labels.data ?? [])).toEqual(result.alone[0]?.[1]);
    },
  );
});

type Batch = [shape: string, labels: number[], sum: number];
interface Sums {
  readonly alone: Batch[];
  readonly workers: Batch[];
  readonly files: Batch[];
  readonly filesInWorker: Batch[];
}

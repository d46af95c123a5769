import { fail } from "../../tensor/errors.js";
import { checkWhole } from "../batches.js";
import { keyedPermutation } from "../permutation.js";
import { applyTransforms, type Transform } from "./augment.js";
import type { ImageDataset } from "./dataset.js";
import { type MixOptions, mixExamples } from "./mix.js";
import { type Picture, sizeText } from "./picture.js";

/** What every batch is a function of, besides its number: plain data, so that workers get it as it is. */
export interface Recipe {
  /** Images per batch. */
  readonly size: number;
  /** Key of the order and of all that is drawn. */
  readonly seed?: number;
  /** False: in the set's order, the last batch of a pass as short as it comes out (default true). */
  readonly shuffle?: boolean;
  /** Only these images, by number (default all): one side of a split. */
  readonly only?: readonly number[];
  /** In this order; `normalize` with the dataset's mean and deviation follows if there is none. */
  readonly transforms?: readonly Transform[];
  /** Mixup and cutmix; batches then have `targets`. */
  readonly mix?: MixOptions;
}

/** A batch's numbers before they are arrays: what a worker sends. */
export interface BatchParts {
  readonly images: Float32Array<ArrayBuffer>;
  readonly shape: readonly number[];
  readonly labels: Int32Array<ArrayBuffer>;
  readonly targets?: Float32Array<ArrayBuffer>;
}

/** Batches of one pass: rounded down and at least one when shuffled, all images in order otherwise. */
export function batchesPerPass(length: number, { size, shuffle = true }: Recipe): number {
  return shuffle ? Math.max(1, Math.floor(length / size)) : Math.ceil(length / size);
}

/** @throws LayerwiseError "argument" naming the option. */
export function checkRecipe(dataset: ImageDataset, recipe: Recipe): void {
  checkWhole("size", recipe.size, 1, "images");
  checkWhole("seed", recipe.seed ?? 0, 0, "images");
  for (const index of recipe.only ?? []) checkWhole("only", index, 0, "images");
  if ((recipe.only?.length ?? dataset.length) === 0) fail("argument", "images: there are no images");
  const mixed = recipe.mix?.mixup || recipe.mix?.cutmix;
  if (mixed && (recipe.size < 2 || recipe.shuffle === false))
    fail("argument", "images: mixup and cutmix need shuffled batches of at least 2");
}

/** Batch `step` of a run, whoever makes it. */
export async function makeBatch(dataset: ImageDataset, recipe: Recipe, step: number): Promise<BatchParts> {
  const places = placesOf(dataset.length, recipe, step);
  const { seed = 0, transforms = [] } = recipe;
  const all = transforms.some(({ name }) => name === "normalize")
    ? transforms
    : [...transforms, { name: "normalize" } as const];
  const pictures: Picture[] = [];
  const labels = new Int32Array(places.length);
  for (const [row, { index, epoch }] of places.entries()) {
    const { image, label } = await dataset.get(index);
    pictures.push(applyTransforms(image, all, { seed, epoch, index }, dataset));
    labels[row] = label;
  }
  const parts = { ...stack(pictures, places), labels };
  return recipe.mix ? mixExamples(parts, dataset.classes.length, recipe.mix, { seed, index: step }) : parts;
}

interface Place {
  readonly index: number;
  readonly epoch: number;
}

function placesOf(length: number, recipe: Recipe, step: number): Place[] {
  const { size, seed = 0, shuffle = true, only } = recipe;
  const count = only?.length ?? length;
  const at = (place: number, epoch: number): Place => ({ index: only ? (only[place] as number) : place, epoch });
  if (!shuffle) {
    const perPass = batchesPerPass(count, recipe);
    const start = (step % perPass) * size;
    const rows = Math.min(size, count - start);
    return Array.from({ length: rows }, (_, row) => at(start + row, Math.floor(step / perPass)));
  }
  return Array.from({ length: size }, (_, row) => {
    const position = step * size + row;
    const epoch = Math.floor(position / count);
    return at(keyedPermutation(count, seed, epoch)(position - epoch * count), epoch);
  });
}

function stack(pictures: readonly Picture[], places: readonly Place[]): Pick<BatchParts, "images" | "shape"> {
  const first = pictures[0] as Picture;
  const images = new Float32Array(pictures.length * first.data.length);
  pictures.forEach((picture, row) => {
    if (sizeText(picture) !== sizeText(first))
      fail(
        "shape",
        `images: image ${places[row]?.index} is ${sizeText(picture)}, image ${places[0]?.index} ${sizeText(first)}; give a transform such as { name: "resize", size }`,
      );
    images.set(picture.data, row * first.data.length);
  });
  return { images, shape: [pictures.length, first.channels, first.height, first.width] };
}

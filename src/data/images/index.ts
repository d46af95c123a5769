/** Images as data: read, augmented, corrupted, batched, compared. */
import { type EncodedSource, encodedImages, type ImageDataset } from "./dataset.js";
import { fetchBytes } from "./fetch-bytes.js";
import { type ImageBatches, type ImageBatchOptions, loadBatches } from "./loader.js";
import { openWebWorker } from "./worker-page.js";

export {
  applyTransforms,
  type ColorJitter,
  crop,
  flipHorizontally,
  type Normalization,
  normalize,
  type Transform,
} from "./augment.js";
export { cifar10Classes, cifarImages } from "./cifar.js";
export { type CorruptionName, corrupt, corruptionNames, type Severity } from "./corruptions.js";
export { channelStatistics, type Example, type ImageDataset, type ImageSource, memoryImages } from "./dataset.js";
export { decodeImage } from "./decode.js";
export { type DrawKey, Draws } from "./draws.js";
export { idxImages, type NamedBytes, parseIdx } from "./idx.js";
export { adjustBrightness, adjustContrast, adjustHue, adjustSaturation } from "./jitter.js";
export type { ImageBatch, ImageBatches, ImageBatchOptions, Waiting } from "./loader.js";
export { freeFormMask, rectangleMask, squareMask } from "./masks.js";
export { l1, meanSquaredError, psnr, ssim } from "./metrics.js";
export type { MixOptions } from "./mix.js";
export { type Picture, pictureBytes, pictureOfPixels } from "./picture.js";
export {
  markClasses,
  markExample,
  type ShapeOptions,
  scenePicture,
  shapeArrays,
  shapeClasses,
  shapeExample,
  shapeImages,
} from "./shapes.js";
export { rotate, type ShiftName, shiftDomain, shiftNames } from "./shifts.js";

/** PNG and JPEG that a page has: addresses or Blobs (a chosen folder's files), decoded when they are asked for. */
export const encodedPictures = (source: Omit<EncodedSource, "kind">): ImageDataset => encodedImages(source, fetchBytes);

/** Batches made ahead of the training step, in Web Workers when `workers` is given; see `loadBatches`. */
export const imageBatches = (dataset: ImageDataset, options: ImageBatchOptions): ImageBatches =>
  loadBatches(dataset, options, openWebWorker);

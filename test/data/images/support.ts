import type { Picture } from "../../../src/data/images/picture.js";
import { readSafetensors } from "../../../src/data/safetensors-file.js";
import { goldenPath } from "../../support/golden.js";

const { tensors } = await readSafetensors(goldenPath("images/images.safetensors"));

/** A picture of scripts/reference/images.py. */
export function reference(name: string): Picture {
  const array = tensors.get(name);
  if (!array) throw new Error(`no reference "${name}"`);
  const [channels, height, width] = array.shape as [number, number, number];
  return { channels, height, width, data: Float32Array.from(array.data as Float32Array) };
}

export const numbers = (name: string): number[] => Array.from(tensors.get(name)?.data as Float32Array);

/** Largest and mean difference, in steps of 1/255. */
export function difference(a: Picture, b: Picture): { most: number; mean: number } {
  if (a.data.length !== b.data.length) throw new Error(`${a.data.length} values, expected ${b.data.length}`);
  const steps = Array.from(a.data, (x, i) => 255 * Math.abs(x - (b.data[i] as number)));
  return { most: Math.max(...steps), mean: steps.reduce((p, q) => p + q, 0) / steps.length };
}

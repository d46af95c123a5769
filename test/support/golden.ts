/** Reference cases of operations, as scripts/reference/store.py writes them. */
import { fileURLToPath } from "node:url";
import { readSafetensors } from "../../src/data/safetensors-file.js";
import type { NDArray } from "../../src/tensor/index.js";
import type { ReferenceCase } from "./plain-case.js";

export { callCase, type ReferenceCase } from "./plain-case.js";

export const families = [
  ...["elementwise", "reduction", "matrix", "convolution", "pooling", "resize", "shape", "indexing"],
  ...["normalization", "loss"],
] as const;

export const goldenPath = (path: string): string => fileURLToPath(new URL(`../golden/${path}`, import.meta.url));

export async function readCases(family: string): Promise<ReferenceCase[]> {
  const { tensors, metadata } = await readSafetensors(goldenPath(`operations/${family}.safetensors`));
  const numbered = (prefix: string): Map<number, NDArray> => {
    const found = new Map<number, NDArray>();
    for (let i = 0; i < 8; i++) {
      const array = tensors.get(`${prefix}.${i}`);
      if (array) found.set(i, array);
    }
    return found;
  };
  return Object.entries(metadata).map(([name, text]) => {
    const { op, attributes, smooth } = JSON.parse(text) as Pick<ReferenceCase, "op" | "attributes" | "smooth">;
    return {
      name,
      op,
      attributes,
      smooth,
      inputs: [...numbered(`${name}.input`).values()],
      outputs: [...numbered(`${name}.output`).values()],
      lossWeights: numbered(`${name}.loss_weights`),
      gradients: numbered(`${name}.grad`),
    };
  });
}

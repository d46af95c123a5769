/** Reference cases of operations, as scripts/reference/store.py writes them. */
import { fileURLToPath } from "node:url";
import { readSafetensors } from "../../src/data/safetensors-file.js";
import type { NDArray, Tensor } from "../../src/tensor/index.js";
import { type OperationCall, operationCalls } from "./operation-calls.js";

export const families = [
  ...["elementwise", "reduction", "matrix", "convolution", "pooling", "resize", "shape", "indexing"],
  ...["normalization", "loss"],
] as const;

export interface ReferenceCase {
  readonly name: string;
  readonly op: string;
  readonly attributes: object;
  /** False where an input sits on a kink, so that a difference quotient means nothing. */
  readonly smooth: boolean;
  readonly inputs: readonly NDArray[];
  readonly outputs: readonly NDArray[];
  /** By output: weights of the scalar loss Σ weights · output. Absent for outputs that are not differentiable. */
  readonly lossWeights: ReadonlyMap<number, NDArray>;
  /** By input: gradient of that loss. */
  readonly gradients: ReadonlyMap<number, NDArray>;
}

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

/** The case's operation on tensors of ours; always a list of outputs. */
export function callCase({ op, attributes, name }: ReferenceCase, inputs: readonly Tensor[]): readonly Tensor[] {
  const call = operationCalls[op] as
    | ((inputs: readonly Tensor[], attributes: object) => ReturnType<OperationCall>)
    | undefined;
  if (!call) throw new Error(`${name}: no call for operation "${op}" in test/support/operation-calls.ts`);
  const result = call(inputs, attributes);
  return Array.isArray(result) ? (result as readonly Tensor[]) : [result as Tensor];
}

/** Reference cases of operations: what they are, how they are called, and as JSON for pages that read no files. */
import { type DType, NDArray, type Shape, type Tensor } from "../../src/tensor/index.js";
import { type OperationCall, operationCalls } from "./operation-calls.js";

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

/** The case's operation on tensors of ours; always a list of outputs. */
export function callCase({ op, attributes, name }: ReferenceCase, inputs: readonly Tensor[]): readonly Tensor[] {
  const call = operationCalls[op] as
    | ((inputs: readonly Tensor[], attributes: object) => ReturnType<OperationCall>)
    | undefined;
  if (!call) throw new Error(`${name}: no call for operation "${op}" in test/support/operation-calls.ts`);
  const result = call(inputs, attributes);
  return Array.isArray(result) ? (result as readonly Tensor[]) : [result as Tensor];
}

/** JSON has no NaN and no infinities: they go as text. */
type PlainArray = readonly [dtype: DType, shape: Shape, values: readonly (number | string)[]];
export interface PlainCase extends Pick<ReferenceCase, "name" | "op" | "attributes" | "smooth"> {
  readonly inputs: readonly PlainArray[];
  readonly outputs: readonly PlainArray[];
  readonly lossWeights: readonly (readonly [number, PlainArray])[];
  readonly gradients: readonly (readonly [number, PlainArray])[];
}

const plain = (array: NDArray): PlainArray => [
  array.dtype,
  array.shape,
  array.toNumbers().map((v) => (Number.isFinite(v) ? v : String(v))),
];
const rich = ([dtype, shape, values]: PlainArray): NDArray => NDArray.from(values.map(Number), dtype, shape);

export const plainOf = ({ inputs, outputs, lossWeights, gradients, ...rest }: ReferenceCase): PlainCase => ({
  ...rest,
  inputs: inputs.map(plain),
  outputs: outputs.map(plain),
  lossWeights: [...lossWeights].map(([i, array]) => [i, plain(array)]),
  gradients: [...gradients].map(([i, array]) => [i, plain(array)]),
});

export const caseOf = ({ inputs, outputs, lossWeights, gradients, ...rest }: PlainCase): ReferenceCase => ({
  ...rest,
  inputs: inputs.map(rich),
  outputs: outputs.map(rich),
  lossWeights: new Map(lossWeights.map(([i, array]) => [i, rich(array)])),
  gradients: new Map(gradients.map(([i, array]) => [i, rich(array)])),
});

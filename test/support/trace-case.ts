import { constant, grad, input, type NDArray, type Tensor } from "../../src/tensor/index.js";
import { callCase, type ReferenceCase } from "./plain-case.js";

export interface Traced {
  /** "output.0", "grad.1", … */
  readonly name: string;
  readonly tensor: Tensor;
  readonly expected: NDArray;
}

export const caseInputs = ({ inputs }: ReferenceCase): Tensor[] =>
  inputs.map(({ shape, dtype }, i) => input([], { name: `input.${i}`, shape, dtype }));

/** The scalar Σ weights · output of a case; undefined where nothing is differentiable. */
export function caseLoss({ lossWeights }: ReferenceCase, outputs: readonly Tensor[]): Tensor | undefined {
  const terms = Array.from(lossWeights, ([k, weights]) => {
    const output = outputs[k] as Tensor;
    return output.mul(constant(weights).cast(output.dtype)).sum();
  });
  return terms.length === 0 ? undefined : terms.reduce((a, b) => a.add(b));
}

/** Outputs and gradients of a case as tensors of ours, each beside the reference. */
export function traceCase(reference: ReferenceCase, inputs: readonly Tensor[]): Traced[] {
  const outputs = callCase(reference, inputs);
  const traced = outputs.map((tensor, k) => ({
    name: `output.${k}`,
    tensor,
    expected: reference.outputs[k] as NDArray,
  }));
  const loss = caseLoss(reference, outputs);
  if (!loss) return traced;
  const wanted = [...reference.gradients.keys()];
  const gradients = grad(
    loss,
    wanted.map((i) => inputs[i] as Tensor),
  );
  for (const [k, i] of wanted.entries())
    traced.push({ name: `grad.${i}`, tensor: gradients[k] as Tensor, expected: reference.gradients.get(i) as NDArray });
  return traced;
}

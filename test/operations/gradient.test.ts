/**
 * Derivatives against difference quotients, evaluated in doubles by the interpreter: the gradient of every smooth
 * reference case, and the gradient of its gradient.
 */
import { describe, expect, it } from "vitest";
import { constant, grad, isFloat, NDArray, philoxUniform, type Tensor } from "../../src/tensor/index.js";
import { callCase, families, type ReferenceCase, readCases } from "../support/golden.js";
import type { Value } from "../support/interpreter/value.js";
import { feedsOf, interpret } from "../support/interpreter.js";
import { caseInputs, caseLoss } from "../support/trace-case.js";

const step = 1e-5;
// A central difference is off by step² times the third derivative, and by 1e-16 / step times the value.
const tolerance = 2e-5;
const elementsChecked = 12;

interface Checked {
  readonly inputs: readonly Tensor[];
  readonly arrays: readonly NDArray[];
  readonly scalar: Tensor;
}

/** The largest deviation of grad(scalar, input) from difference quotients, relative to the largest of both. */
function deviation({ inputs, arrays, scalar }: Checked, wanted: readonly number[]): string[] {
  const gradients = grad(
    scalar,
    wanted.map((i) => inputs[i] as Tensor),
  );
  const feeds = feedsOf(inputs.map((x, i) => [x, arrays[i] as NDArray]));
  const [value, ...analytic] = interpret([scalar, ...gradients], feeds) as [Value, ...Value[]];
  const rounding = (1e-15 * Math.abs(value.data[0] as number)) / step;
  return wanted.flatMap((i, k) => {
    const { data } = feeds.get(inputs[i] as Tensor) as Value;
    const { data: gradient } = analytic[k] as Value;
    const at = Array.from({ length: Math.min(elementsChecked, data.length) }, (_, j) =>
      Math.floor((j * data.length) / Math.min(elementsChecked, data.length)),
    );
    const quotients = at.map((j) => {
      const shifted = (by: number) => {
        const moved = Float64Array.from(data);
        moved[j] = (moved[j] as number) + by;
        const [value] = interpret(
          [scalar],
          new Map([...feeds, [inputs[i] as Tensor, { shape: (inputs[i] as Tensor).shape, data: moved }]]),
        );
        return (value as Value).data[0] as number;
      };
      return (shifted(step) - shifted(-step)) / (2 * step);
    });
    const scale = Math.max(1e-2, ...quotients.map(Math.abs), ...gradient.map(Math.abs));
    return at.flatMap((j, q) => {
      const error = Math.abs((quotients[q] as number) - (gradient[j] as number)) / scale;
      return error <= tolerance + rounding / scale
        ? []
        : [`input ${i} element ${j}: gradient ${gradient[j]}, difference quotient ${quotients[q]}`];
    });
  });
}

const differentiable = (reference: ReferenceCase): number[] =>
  reference.inputs.flatMap(({ dtype, size }, i) =>
    isFloat(dtype) && size > 0 && reference.gradients.has(i) ? [i] : [],
  );

/** Σ r · gradient with fixed random r: a scalar whose gradient is a second derivative. */
function gradientScalar(inputs: readonly Tensor[], loss: Tensor, wanted: readonly number[]): Tensor {
  const gradients = grad(
    loss,
    wanted.map((i) => inputs[i] as Tensor),
  );
  const terms = gradients.map((g, k) => {
    const weights = new NDArray(philoxUniform({ seed: 7, site: `weights ${k}` }, g.size), g.shape, "float32");
    return g.mul(constant(weights).cast(g.dtype)).sum();
  });
  return terms.reduce((a, b) => a.add(b));
}

describe.each(families)("%s", async (family) => {
  const cases = (await readCases(family)).filter(
    (reference) => reference.smooth && differentiable(reference).length > 0,
  );

  it.each(cases)("gradient of $name", (reference) => {
    const inputs = caseInputs(reference);
    const scalar = caseLoss(reference, callCase(reference, inputs)) as Tensor;
    expect(deviation({ inputs, arrays: reference.inputs, scalar }, differentiable(reference))).toEqual([]);
  });

  it.each(cases)("second derivative of $name", (reference) => {
    const inputs = caseInputs(reference);
    const wanted = differentiable(reference);
    const loss = caseLoss(reference, callCase(reference, inputs)) as Tensor;
    // Squared, so that even a linear operation has a second derivative.
    const scalar = gradientScalar(inputs, loss.square().mul(0.5), wanted);
    expect(deviation({ inputs, arrays: reference.inputs, scalar }, wanted)).toEqual([]);
  });
});

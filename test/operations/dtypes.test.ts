/** float64 to the last digits and float16 to its own, on the CPU, outputs and gradients: against the interpreter. */
import { describe, expect, it } from "vitest";
import { compile } from "../../src/runtime/index.js";
import { grad, isFloat, LayerwiseError, type NDArray, type Tensor, tensor } from "../../src/tensor/index.js";
import { difference } from "../support/compare.js";
import { callCase, families, type ReferenceCase, readCases } from "../support/golden.js";
import { toNDArray, type Value } from "../support/interpreter/value.js";
import { feedsOf, interpret } from "../support/interpreter.js";
import { caseLoss } from "../support/trace-case.js";

const noDouble = /^(conv|averagePool)/;
// Sums of a few dozen halves of 11 bits each; kinks and comparisons may fall on either side.
const tolerance = { float64: 1e-12, float16: 2e-2 };

const as = (array: NDArray, dtype: "float64" | "float16") => (isFloat(array.dtype) ? array.cast(dtype) : array);

function build(reference: ReferenceCase, inputs: readonly Tensor[]): Tensor[] {
  const outputs = callCase(reference, inputs);
  const loss = caseLoss(reference, outputs);
  const wanted = [...reference.gradients.keys()].map((i) => inputs[i] as Tensor);
  return [...outputs, ...(loss ? grad(loss, wanted) : [])].filter(({ dtype }) => isFloat(dtype));
}

describe.each(["float64", "float16"] as const)("%s", (dtype) => {
  it.each(families.filter((family) => !(dtype === "float64" && family === "convolution")))("%s", async (family) => {
    const usable = ({ op, smooth, name }: ReferenceCase) =>
      smooth &&
      !(dtype === "float64" && noDouble.test(op)) &&
      !(dtype === "float16" && /far|large|huge|overflow|offset/.test(name));
    const cases = (await readCases(family)).filter(usable);
    const feeds: Record<string, NDArray> = {};
    for (const { name, inputs } of cases)
      for (const [i, array] of inputs.entries()) feeds[`${name}/${i}`] = as(array, dtype);
    const expected = new Map<string, NDArray>();
    const program = compile(
      (inputs) => {
        const outputs: Record<string, Tensor> = {};
        for (const reference of cases) {
          const own = reference.inputs.map((_, i) => inputs[`${reference.name}/${i}`] as Tensor);
          const made = build(reference, own);
          const values = interpret(made, feedsOf(own.map((x, i) => [x, feeds[`${reference.name}/${i}`] as NDArray])));
          for (const [k, x] of made.entries()) {
            outputs[`${reference.name}:${k}`] = x;
            expected.set(`${reference.name}:${k}`, toNDArray(values[k] as Value, x.dtype));
          }
        }
        return outputs;
      },
      { backend: "cpu" },
    );
    const results = await program(feeds);
    await program.release();
    const problems = [...expected].map(([name, array]) =>
      `${name} ${difference(results[name] as NDArray, array, tolerance[dtype], 1e-2)}`.trim(),
    );
    expect(problems.filter((text) => text.includes(" "))).toEqual([]);
  });
});

it.each([
  [
    "conv2d",
    () =>
      tensor(new Float64Array(16), { shape: [1, 1, 4, 4] }).conv2d(
        tensor(new Float64Array(4), { shape: [1, 1, 2, 2] }),
      ),
  ],
  ["averagePool2d", () => tensor(new Float64Array(16), { shape: [1, 1, 4, 4] }).averagePool2d({ kernel: 2 })],
])("%s says that no engine does it in float64", (_, act) => {
  expect(act).toThrow(LayerwiseError);
  expect(act).toThrow(/float64; convert with \.cast\("float32"\)/);
});

/** The interpreter, which other tests trust, gives the reference numbers itself: outputs and gradients. */
import { describe, expect, it } from "vitest";
import type { NDArray } from "../../src/tensor/index.js";
import { difference } from "../support/compare.js";
import { families, readCases } from "../support/golden.js";
import { toNDArray, type Value } from "../support/interpreter/value.js";
import { feedsOf, interpret } from "../support/interpreter.js";
import { caseInputs, traceCase } from "../support/trace-case.js";

// The references are rounded to float32 and constants in the graph are too: 6e-8 each, which a small difference magnifies.
const tolerance = 2e-6;

describe.each(families)("interpreter agrees with PyTorch on %s", async (family) => {
  it.each(await readCases(family))("$name", (reference) => {
    const inputs = caseInputs(reference);
    const results = traceCase(reference, inputs);
    const feeds = feedsOf(inputs.map((x, i) => [x, reference.inputs[i] as NDArray]));
    const values = interpret(
      results.map(({ tensor }) => tensor),
      feeds,
    );
    const problems = results.map(({ name, tensor, expected }, i) => {
      const found = difference(toNDArray(values[i] as Value, tensor.dtype), expected, tolerance);
      return found && `${name}: ${found}`;
    });
    expect(problems.filter(Boolean)).toEqual([]);
  });
});

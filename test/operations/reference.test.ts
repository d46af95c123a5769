/** Every operation, compiled and run by the engine, gives PyTorch's numbers: outputs and gradients, passes on and off. */
import { describe, expect, it } from "vitest";
import { compile } from "../../src/runtime/index.js";
import type { NDArray, Tensor } from "../../src/tensor/index.js";
import { operations } from "../../src/tensor/index.js";
import { difference } from "../support/compare.js";
import { families, type ReferenceCase, readCases } from "../support/golden.js";
import { nodesBelow } from "../support/interpreter.js";
import { caseInputs, traceCase } from "../support/trace-case.js";

const tolerance = 1e-5;

/** All cases of a family in one program: a session costs more than all its operations. */
async function runFamily(cases: readonly ReferenceCase[], passes: boolean): Promise<Map<string, string>> {
  const feeds: Record<string, NDArray> = {};
  for (const reference of cases)
    for (const [i, array] of reference.inputs.entries()) feeds[`${reference.name}/${i}`] = array;
  const expected = new Map<string, NDArray>();
  const program = compile(
    (inputs) => {
      const outputs: Record<string, Tensor> = {};
      for (const reference of cases) {
        const own = reference.inputs.map((_, i) => inputs[`${reference.name}/${i}`] as Tensor);
        for (const result of traceCase(reference, own)) {
          const name = `${reference.name}/${result.name}`;
          outputs[name] = result.tensor;
          expected.set(name, result.expected);
        }
      }
      return outputs;
    },
    { passes, backend: "cpu" },
  );
  const results = await program(feeds);
  await program.release();
  return new Map([...expected].map(([name, array]) => [name, difference(results[name] as NDArray, array, tolerance)]));
}

describe.each(families)("%s", async (family) => {
  const cases = await readCases(family);
  const runs = new Map<boolean, Promise<Map<string, string>>>();
  const run = (passes: boolean) => {
    const known = runs.get(passes) ?? runFamily(cases, passes);
    runs.set(passes, known);
    return known;
  };
  it.each(cases)("$name", async ({ name }) => {
    const problems = [];
    for (const passes of [true, false])
      for (const [output, problem] of await run(passes))
        if (output.startsWith(`${name}/`) && problem)
          problems.push(`${output} (passes ${passes ? "on" : "off"}): ${problem}`);
    expect(problems).toEqual([]);
  });
});

it("every operation that is registered has a reference case", async () => {
  const used = new Set<string>();
  for (const family of families)
    for (const reference of await readCases(family))
      for (const { operation } of nodesBelow(traceCase(reference, caseInputs(reference)).map(({ tensor }) => tensor)))
        used.add(operation.name);
  // Leaves are bound by the program and tested there; `after` only orders work (see recompute).
  const elsewhere = ["input", "variable", "random", "constant", "after", "identity"];
  expect([...operations.keys()].filter((name) => !used.has(name) && !elsewhere.includes(name))).toEqual([]);
});

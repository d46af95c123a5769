/** Random graphs of operations and their gradients: the engine agrees with the plain interpreter, passes on and off. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { compile } from "../../src/runtime/index.js";
import { grad, NDArray, philoxUniform, sizeOf, type Tensor } from "../../src/tensor/index.js";
import { feedsOf } from "../support/interpreter.js";
import { growGraph, makers } from "../support/random-graph.js";
import { deviation, type Expected, expectedOf } from "../support/rounded.js";

const shapes = [[4], [3, 5], [2, 3, 4], [1, 6], [5, 1], [2, 1, 3, 2], [7]] as const;

const step = fc.record({
  operation: fc.nat(makers.length - 1),
  first: fc.nat(2),
  second: fc.nat(5),
  choice: fc.nat(23),
});
const graph = fc.record({
  shapes: fc.tuple(fc.constantFrom(...shapes), fc.constantFrom(...shapes)),
  seed: fc.nat(1000),
  steps: fc.array(step, { minLength: 1, maxLength: 9 }),
  /** Also the gradient of the gradient. */
  twice: fc.boolean(),
});
type Graph = typeof graph extends fc.Arbitrary<infer T> ? T : never;

function outputsOf({ steps, twice }: Graph, inputs: readonly Tensor[]): Tensor[] {
  const last = growGraph(steps, inputs);
  const gradients = grad(last.tanh().sum(), inputs);
  // Second derivatives of long graphs are large, slow, and no longer about single operations.
  if (!twice || steps.length > 5) return [last, ...gradients];
  const scalar = gradients.reduce((sum, g) => sum.add(g.sin().sum()), last.sum().mul(0));
  return [last, ...gradients, ...grad(scalar, inputs)];
}

const inputArray = (seed: number, site: string, shape: readonly number[]): NDArray =>
  new NDArray(
    philoxUniform({ seed, site }, sizeOf(shape)).map((u) => 2 * u - 1),
    shape,
    "float32",
  );

it("random graphs and their gradients agree between passes on, passes off and a plain evaluation", async () => {
  let [compared, skipped] = [0, 0];
  /** All graphs in one program: a session costs more than what it computes. */
  const check = async (graphs: readonly Graph[]): Promise<void> => {
    const feeds: Record<string, NDArray> = {};
    for (const [g, { shapes, seed }] of graphs.entries())
      for (const [i, shape] of shapes.entries()) feeds[`${g}/${i}`] = inputArray(seed, `input ${i}`, shape);
    const expected = new Map<string, Expected | undefined>();
    const build = (inputs: Readonly<Record<string, Tensor>>) => {
      const outputs: Record<string, Tensor> = {};
      for (const [g, given] of graphs.entries()) {
        const own = [0, 1].map((i) => inputs[`${g}/${i}`] as Tensor);
        const made = outputsOf(given, own);
        const values = expectedOf(made, feedsOf(own.map((x, i) => [x, feeds[`${g}/${i}`] as NDArray])));
        for (const [k, tensor] of made.entries()) {
          outputs[`${g}:${k}`] = tensor;
          expected.set(`${g}:${k}`, values[k]);
        }
      }
      return outputs;
    };
    for (const passes of [true, false]) {
      const program = compile(build, { passes, backend: "cpu" });
      const results = await program(feeds);
      await program.release();
      const problems = [];
      for (const [name, value] of expected) {
        const found = value && deviation(value, results[name] as NDArray);
        if (found) problems.push(`${name} ${found}`);
        if (value) compared++;
        else skipped++;
      }
      expect(problems, `passes ${passes ? "on" : "off"}`).toEqual([]);
    }
  };
  const batches = fc.array(graph, { minLength: 12, maxLength: 12 });
  await fc.assert(fc.asyncProperty(batches, check), { numRuns: 60, seed: 20261125 });
  expect(skipped / (compared + skipped)).toBeLessThan(0.02);
});

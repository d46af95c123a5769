/**
 * Every operation directly after every other, in a graph of its own: what the engine merges into one kernel still gives
 * the interpreter's numbers. (ONNX Runtime merges a padding with zeros into a max-pooling that pads with -infinity.)
 */
import { describe, expect, it } from "vitest";
import { compile } from "../../src/runtime/index.js";
import { NDArray, philoxUniform, sizeOf, type Tensor } from "../../src/tensor/index.js";
import { feedsOf } from "../support/interpreter.js";
import { growGraph, makerName, makers } from "../support/random-graph.js";
import { deviation, type Expected, expectedOf } from "../support/rounded.js";

const shapes = [[3, 5], [2, 3, 4], [6], [5, 1], [2, 1, 3, 2]] as const;

describe.each(makers.map((_, first) => ({ first, name: makerName(first) })))("after $name", ({ first }) => {
  it("every operation gives the interpreter's numbers", async () => {
    const shape = shapes[first % shapes.length] as readonly number[];
    const feeds: Record<string, NDArray> = {};
    // Inputs of their own: a value that several graphs read is not merged.
    for (const second of makers.keys())
      for (const i of [0, 1]) {
        const uniform = philoxUniform({ seed: first, site: `${second}/${i}` }, sizeOf(shape));
        feeds[`${second}/${i}`] = new NDArray(
          uniform.map((u) => 2 * u - 1),
          shape,
          "float32",
        );
      }
    const expected = new Map<string, Expected | undefined>();
    const program = compile(
      (inputs: Readonly<Record<string, Tensor>>) => {
        const outputs: Record<string, Tensor> = {};
        for (const second of makers.keys()) {
          const steps = [first, second].map((operation) => ({
            operation,
            first: 0,
            second: 1,
            choice: first + second,
          }));
          const own = [0, 1].map((i) => inputs[`${second}/${i}`] as Tensor);
          outputs[second] = growGraph(steps, own);
          const values = feedsOf(own.map((x, i) => [x, feeds[`${second}/${i}`] as NDArray]));
          expected.set(`${second}`, expectedOf([outputs[second]], values)[0]);
        }
        return outputs;
      },
      { backend: "cpu" },
    );
    const results = await program(feeds);
    await program.release();
    const problems = [...expected].map(([name, value]) => value && deviation(value, results[name] as NDArray));
    expect(problems.flatMap((problem, second) => (problem ? [`${makerName(second)}: ${problem}`] : []))).toEqual([]);
  });
});

/** Weights of few bits: maps of one input are one product, and give what each would give alone. */
import { describe, expect, it } from "vitest";
import { encodeModel, lower } from "../../src/compile/lower.js";
import type { GraphProto } from "../../src/compile/onnx/onnx_pb.js";
import { withWeights } from "../../src/compile/quantized-weights.js";
import { getBackend } from "../../src/runtime/index.js";
import { input, linear, type NDArray, normalArray, type Shape, type Tensor, Variable } from "../../src/tensor/index.js";

const weight = (name: string, shape: Shape) => new Variable(normalArray({ seed: 1, site: name }, shape), { name });
const [q, k, up] = [weight("q", [6, 40]), weight("k", [4, 40]), weight("up", [8, 6])];
const bias = weight("bias", [4]);
const x = input([], { name: "x", shape: [2, 40], dtype: "float32" });

async function outputs(tensors: Readonly<Record<string, Tensor>>) {
  const { model, variables } = lower(new Map(Object.entries(tensors)), "model", "cpu");
  const weights = new Map(Array.from(variables, ([variable, name]) => [name, variable.current as NDArray]));
  const inner = model.graph as GraphProto;
  const bare = { ...inner, input: inner.input.filter(({ name }) => !weights.has(name)) };
  const { graph, weights: initializer } = withWeights(bare, weights, "q8");
  const backend = await getBackend("cpu");
  const whole = { ...model, graph: { ...graph, initializer: [...graph.initializer, ...initializer] } };
  const session = await backend.createSession(encodeModel(whole), { onDevice: [] });
  const feeds = new Map([["x", backend.upload(normalArray({ seed: 2, site: "x" }, [2, 40]))]]);
  const results = await session.run(feeds, Object.keys(tensors), new Map());
  const values = await Promise.all(Array.from(results.values(), async (result) => (await result.read()).toNumbers()));
  await session.release();
  return { types: graph.node.map(({ opType }) => opType), values };
}

describe("weights of 8 bits", () => {
  it("are one product where they have one input, with the numbers of each alone", async () => {
    const [first, second] = [linear(x, q), linear(x, k, bias)];
    const { types, values } = await outputs({ first, second });
    expect(types).toEqual(["MatMulNBits", "Split", "Add"]);
    const alone = [await outputs({ first }), await outputs({ second })];
    const expected = alone.flatMap(({ values: [value] }) => value as number[]);
    for (const [i, value] of values.flat().entries()) expect(value).toBeCloseTo(expected[i] as number, 4);
  });

  it("stay apart where one takes what the other gives", async () => {
    const { types } = await outputs({ y: linear(linear(x, q), up) });
    expect(types).toEqual(["MatMulNBits", "MatMulNBits"]);
  });

  it("are kept once where they are used twice", async () => {
    const { types, values } = await outputs({ a: linear(x, q), b: linear(x.mul(2), q) });
    expect(types).toEqual(["MatMulNBits", "Mul", "MatMulNBits"]);
    for (const [i, b] of (values[1] as number[]).entries()) expect(b).toBeCloseTo(2 * (values[0]?.[i] as number), 3);
  });
});

/** Models from outside: what our lowering emits passes, with the shapes it has; what does not follow is refused. */
import { describe, expect, it } from "vitest";
import { encodeModel, lower } from "../../src/compile/lower.js";
import { encodeGraph, encodeNode, encodeTensor, encodeValueInfo } from "../../src/compile/onnx/encode.js";
import type { GraphProto, ModelProto } from "../../src/compile/onnx/onnx_pb.js";
import { rebuild } from "../../src/compile/onnx/rebuild.js";
import { gpt } from "../../src/models/index.js";
import { recompute } from "../../src/nn/index.js";
import {
  crossEntropy,
  type DType,
  grad,
  input,
  NDArray,
  type OnnxAttributes,
  type Shape,
  type Target,
  type Tensor,
  training,
} from "../../src/tensor/index.js";
import { families, readCases } from "../support/golden.js";
import { traceCase } from "../support/trace-case.js";

const targets: readonly Target[] = ["cpu", "webgpu", "wasm"];

/** Every reference case of a family, with its gradients, as one program. */
async function programOf(family: string): Promise<Map<string, Tensor>> {
  const outputs = new Map<string, Tensor>();
  for (const reference of await readCases(family)) {
    const inputs = reference.inputs.map(({ shape, dtype }, i) =>
      input([], { name: `${reference.name}.${i}`, shape, dtype }),
    );
    for (const { name, tensor } of traceCase(reference, inputs)) outputs.set(`${reference.name}/${name}`, tensor);
  }
  return outputs;
}

function trainingStep(): Map<string, Tensor> {
  const model = gpt({ layers: 2, width: 8, heads: 2, vocabulary: 11, context: 4, norm: "layer", dropout: 0.1 });
  model.model.layers.forEach(recompute);
  const ids = input([], { name: "ids", shape: [1, 4], dtype: "int32" });
  const loss = training(() => crossEntropy(model.apply(ids), ids));
  const parameters = model.parameters();
  return new Map([["loss", loss], ...grad(loss, parameters).map((g, i) => [`gradient ${i}`, g] as const)]);
}

describe("what a lowering emits", () => {
  it.each(families.flatMap((family) => targets.map((target) => [family, target] as const)))(
    "passes, with the shapes that its tensors have: %s on %s",
    async (family, target) => {
      const outputs = await programOf(family);
      const { model } = lower(outputs, "program", target);
      const { values, model: again } = rebuild(model, "file");
      for (const [name, { shape, dtype }] of outputs) expect(values.get(name)).toMatchObject({ shape, dtype });
      expect(again.graph?.node).toEqual(model.graph?.node);
    },
  );

  it("is the same bytes again, recomputation and all", () => {
    const { model } = lower(trainingStep(), "program", "cpu");
    expect(encodeModel(rebuild(model, "file").model)).toEqual(encodeModel(model));
  });
});

type Value = Shape | NDArray | readonly [DType, Shape];
const ints = (...values: number[]): NDArray => NDArray.from(values, "int64");

/** A model of one node: inputs are float32 of a shape, or of another type, or constants. */
function model(type: string, values: readonly Value[], attributes: OnnxAttributes = {}, domain = ""): ModelProto {
  const names = values.map((_, i) => `x${i}`);
  const typed = values.map((value): NDArray | readonly [DType, Shape] => {
    if (value instanceof NDArray) return value;
    return typeof value[0] === "string" ? (value as readonly [DType, Shape]) : ["float32", value as Shape];
  });
  return encodeGraph({
    name: "one",
    node: [encodeNode("node", type, names, ["y"], attributes, domain)],
    initializer: typed.flatMap((value, i) => (value instanceof NDArray ? [encodeTensor(`x${i}`, value)] : [])),
    input: typed.flatMap((value, i) =>
      value instanceof NDArray ? [] : [encodeValueInfo(`x${i}`, value[0], value[1])],
    ),
  });
}

describe("a node is refused", () => {
  it.each<[string, ModelProto, RegExp]>([
    ["of an unknown operator", model("Loop", [[2]]), /file: node "node": it is a ai\.onnx\.Loop, which no program/],
    ["of another domain", model("Add", [[2], [2]], {}, "evil"), /it is a evil\.Add, which no program/],
    ["with too few inputs", model("Add", [[2]]), /Add takes 2 to 2 values, it has 1/],
    ["with too many inputs", model("Abs", [[2], [2]]), /Abs takes 1 to 1 values, it has 2/],
    ["with an unknown attribute", model("Abs", [[2]], { body: 1 }), /attribute "body" is none that programs/],
    ["with an attribute of another kind", model("Softmax", [[2]], { axis: [1] }), /attribute "axis" is none that/],
    ["whose shapes do not broadcast", model("Add", [[2], [3]]), /shapes \[2\] and \[3\] do not broadcast/],
    ["whose types differ", model("Add", [[2], ["int32", [2]]]), /it takes float32 and int32/],
    ["whose condition is a number", model("Where", [[2], [2], [2]]), /its condition is float32, not bool/],
    ["that casts to nothing", model("Cast", [[2]], { to: 99 }), /unknown type 99/],
    ["with an axis too far", model("Softmax", [[2, 3]], { axis: 2 }), /axis 2 is outside rank 2/],
    ["with an axis too far back", model("ArgMax", [[2, 3]], { axis: -3 }), /axis -3 is outside rank 2/],
    ["that reduces over an axis that is not there", model("ReduceSum", [[2], ints(1)]), /axis 1 is outside rank 1/],
    ["whose axes are computed", model("ReduceSum", [[2], ["int64", [1]]]), /its axes are no constant/],
    ["with more tops than there are", model("TopK", [[2], ints(3)]), /k 3 is outside the 2 there are/],
    [
      "that joins what does not fit",
      model(
        "Concat",
        [
          [2, 3],
          [2, 4],
        ],
        { axis: 0 },
      ),
      /joins float32\[2, 3\] and float32\[2, 4\]/,
    ],
    ["that makes elements up", model("Reshape", [[2, 3], ints(7)], { allowzero: 1 }), /\[2, 3\] cannot become \[7\]/],
    [
      "that infers two dimensions",
      model("Reshape", [[2, 3], ints(-1, -1)], { allowzero: 1 }),
      /cannot become \[6, -1\]/,
    ],
    ["that expands to less than nothing", model("Expand", [[1], ints(-5)]), /expands to \[-5\]/],
    ["that expands beyond all memory", model("Expand", [[], ints(2 ** 40, 2 ** 40)]), /more than any program of ours/],
    ["that steps by nothing", model("Slice", [[4], ints(0), ints(4), ints(0), ints(0)]), /its step is 0/],
    ["whose bounds differ in number", model("Slice", [[4], ints(0, 1), ints(4), ints(0), ints(1)]), /differ in number/],
    [
      "that slices where nothing is",
      model("Slice", [[4], ints(0), ints(4), ints(3), ints(1)]),
      /axis 3 is outside rank 1/,
    ],
    ["that pads by less than nothing", model("Pad", [[4], ints(-9, 0), NDArray.from(0)]), /it pads \[4\] by \[-9, 0\]/],
    ["that pads other axes", model("Pad", [[4], ints(1, 1, 1, 1), NDArray.from(0)]), /it pads \[4\] by/],
    ["that pads some axes only", model("Pad", [[4, 4], ints(1, 0, 1, 0), NDArray.from(0), ints(0)]), /some axes only/],
    [
      "that transposes twice the same",
      model("Transpose", [[2, 3]], { perm: [0, 0] }),
      /transposes \[2, 3\] by \[0, 0\]/,
    ],
    ["that adds an axis twice", model("Unsqueeze", [[2], ints(0, 0)]), /adds an axis of \[0, 0\] twice/],
    ["whose indices are no integers", model("Gather", [[2], [1]], { axis: 0 }), /its indices are float32/],
    [
      "that picks more than there is",
      model(
        "GatherElements",
        [
          [2, 2],
          ["int64", [3, 2]],
        ],
        { axis: 1 },
      ),
      /do not fit \[2, 2\]/,
    ],
    ["that scatters what does not fit", model("ScatterElements", [[4], ["int64", [2]], [3]]), /differ in shape/],
    ["that scatters too deep", model("ScatterND", [[4], ["int64", [1, 2]], [1]]), /do not fit \[4\]/],
    [
      "whose matrices do not fit",
      model("MatMul", [
        [2, 3],
        [4, 5],
      ]),
      /multiplies \[2, 3\] by \[4, 5\]/,
    ],
    [
      "whose turned matrices do not fit",
      model(
        "Gemm",
        [
          [2, 3],
          [3, 5],
        ],
        { transA: 1 },
      ),
      /multiplies \[3, 2\] by \[3, 5\]/,
    ],
    [
      "that adds to more than it has",
      model("Gemm", [
        [2, 3],
        [3, 5],
        [4, 2, 5],
      ]),
      /it adds \[4, 2, 5\] to \[2, 5\]/,
    ],
    ["whose matrices are none", model("Gemm", [[3], [3]]), /what are no matrices/],
    [
      "whose gain is too short",
      model("LayerNormalization", [[2, 8], [4]], { axis: -1 }),
      /a parameter \[4\] does not fit/,
    ],
    [
      "whose weight has other channels",
      model("Conv", [
        [1, 3, 8],
        [4, 2, 3],
      ]),
      /does not fit \[1, 3, 8\]/,
    ],
    [
      "whose window is not its weight's",
      model(
        "Conv",
        [
          [1, 2, 8],
          [4, 2, 3],
        ],
        { kernel_shape: [9] },
      ),
      /its weight is/,
    ],
    [
      "whose window is too wide",
      model("Conv", [
        [1, 2, 2],
        [4, 2, 3],
      ]),
      /its window is wider than axis 2/,
    ],
    [
      "that strides by nothing",
      model(
        "Conv",
        [
          [1, 2, 8],
          [4, 2, 3],
        ],
        { strides: [0] },
      ),
      /strides \[0\] for 1 axes/,
    ],
    [
      "with no groups",
      model(
        "Conv",
        [
          [1, 2, 8],
          [4, 2, 3],
        ],
        { group: 0 },
      ),
      /it has 0 groups/,
    ],
    [
      "that is padded by less than nothing",
      model(
        "Conv",
        [
          [1, 2, 8],
          [4, 2, 3],
        ],
        { pads: [-1, 0] },
      ),
      /pads \[-1, 0\]/,
    ],
    [
      "that shrinks away",
      model(
        "ConvTranspose",
        [
          [1, 2, 1],
          [2, 1, 1],
        ],
        { pads: [5, 5] },
      ),
      /would have -9 places/,
    ],
    [
      "that pools more padding than values",
      model("MaxPool", [[1, 1, 4]], { kernel_shape: [2], pads: [2, 0] }),
      /as wide as/,
    ],
    ["that pools nothing", model("AveragePool", [[1, 1, 4]], { kernel_shape: [0] }), /kernel_shape \[0\]/],
  ])("%s", (_, file, message) => {
    expect(() => rebuild(file, "file")).toThrow(message);
  });
});

describe("a graph is refused", () => {
  const spoiled = (spoil: (graph: GraphProto, file: ModelProto) => void): ModelProto => {
    const file = model("Add", [[2], NDArray.from([1, 2])]);
    spoil(file.graph as GraphProto, file);
    return file;
  };
  it.each<[string, ModelProto, RegExp]>([
    ["that does not hold one", spoiled((_, file) => delete file.graph), /it holds no graph/],
    [
      "whose output is declared as another",
      spoiled(({ output }) => output.push(encodeValueInfo("y", "float32", [3]))),
      /output "y" is declared as float32\[3\], its node makes float32\[2\]/,
    ],
    [
      "whose output is made by nothing",
      spoiled(({ output }) => output.push(encodeValueInfo("z", "float32", [2]))),
      /output "z" is made by no node/,
    ],
    [
      "whose input has a default of another shape",
      spoiled(({ initializer }) => initializer.push(encodeTensor("x0", NDArray.from([1, 2, 3])))),
      /input "x0" is float32\[2\], its value float32\[3\]/,
    ],
    ["with a value twice", spoiled(({ initializer }) => initializer.push(...initializer)), /value "x1" is there twice/],
    ["with an input twice", spoiled(({ input }) => input.push(...input)), /"x0" is made twice/],
    [
      "with an input without a shape",
      spoiled(({ input }) => delete (input[0] as { type?: object }).type),
      /"x0" is declared as no tensor/,
    ],
    [
      "with an input of 2⁶⁰ elements",
      spoiled(({ input }) => input.push(encodeValueInfo("big", "float32", [2 ** 30, 2 ** 30]))),
      /"big" would be float32/,
    ],
    [
      "whose nodes go in a circle",
      spoiled(({ node }) => node.unshift(encodeNode("circle", "Add", ["x0", "y"], ["z"]))),
      /node "circle": it reads "y" before anything makes it/,
    ],
  ])("%s", (_, file, message) => {
    expect(() => rebuild(file, "file")).toThrow(message);
  });

  it("keeps nothing that was not looked at", () => {
    const file = spoiled((graph, whole) => {
      graph.docString = "text";
      whole.producerName = "someone";
      (graph.node[0] as { docString: string }).docString = "text";
    });
    const { model: again } = rebuild(file, "file");
    expect([again.producerName, again.graph?.docString, again.graph?.node[0]?.docString]).toEqual([
      "layerwise",
      "",
      "",
    ]);
  });
});

/**
 * Every ONNX operator that a lowering may emit: how many values it takes, its attributes, and the shapes and types it
 * gives. Programs of ours hold nothing else, so a file that does was not written by us, and one whose shapes do not
 * follow from one another never reaches an engine.
 */
import { blockedDomain, contribDomain, dtypes, swapsLast } from "../tensor/index.js";
import { onnxType } from "./onnx/encode.js";
import {
  alongAxis,
  broadcast,
  type Call,
  chosen,
  concatenated,
  divided,
  expanded,
  gathered,
  gatheredElements,
  type Known,
  multiplied,
  multipliedFlat,
  multipliedTurned,
  normalized,
  padded,
  positions,
  reduced,
  reshaped,
  same,
  scatteredElements,
  scatteredSlices,
  sliced,
  topped,
  transposed,
  unsqueezed,
  wrong,
} from "./onnx/shapes.js";
import { convolved, convolvedBack, pooled } from "./onnx/windows.js";

type Kind = "int" | "ints" | "float" | "string";

export interface Operator {
  /** Fewest and most inputs, and most outputs. */
  readonly inputs: readonly [number, number];
  readonly outputs: number;
  readonly attributes: Readonly<Record<string, Kind>>;
  /** Shape and type of each output; throws where the inputs do not fit. */
  infer(call: Call): readonly Known[];
}

const define = (
  names: string,
  inputs: readonly [number, number],
  infer: Operator["infer"],
  attributes: Operator["attributes"] = {},
  outputs = 1,
): readonly (readonly [string, Operator])[] =>
  names.split(" ").map((name) => [name, { inputs, outputs, attributes, infer }] as const);

const window = { kernel_shape: "ints", strides: "ints", pads: "ints" } as const;
const norm = { axis: "int", epsilon: "float", stash_type: "int" } as const;

const operators: ReadonlyMap<string, Operator> = new Map([
  ...define("Abs Atan Ceil Cos Erf Exp Floor Identity Log Neg Not Reciprocal Relu Round", [1, 1], same),
  ...define("Sigmoid Sign Sin Softplus Sqrt Tanh", [1, 1], same),
  ...define("Gelu", [1, 1], same, { approximate: "string" }),
  ...define("HardSigmoid", [1, 1], same, { alpha: "float", beta: "float" }),
  ...define("Softmax LogSoftmax", [1, 1], alongAxis, { axis: "int" }),
  ...define("CumSum", [2, 2], same, { reverse: "int", exclusive: "int" }),
  ...define("IsNaN", [1, 1], ({ inputs: [x] }) => [{ ...(x as Known), dtype: "bool" }]),
  ...define("Cast", [1, 1], cast, { to: "int" }),
  ...define("Add Sub Mul Div Pow Max Min And Or Xor", [2, 2], broadcast()),
  ...define("Mod", [2, 2], broadcast(), { fmod: "int" }),
  ...define("Equal Greater GreaterOrEqual Less LessOrEqual", [2, 2], broadcast("bool")),
  ...define("Where", [3, 3], chosen),
  ...define("ArgMax ArgMin", [1, 1], positions, { axis: "int", keepdims: "int" }),
  ...define("ReduceMax ReduceMean ReduceMin ReduceSum", [2, 2], reduced, { keepdims: "int" }),
  ...define("TopK", [2, 2], topped, { axis: "int", largest: "int", sorted: "int" }, 2),
  ...define("Split", [2, 2], divided, { axis: "int" }, Number.POSITIVE_INFINITY),
  ...define("Concat", [1, Number.POSITIVE_INFINITY], concatenated, { axis: "int" }),
  ...define("Reshape", [2, 2], reshaped, { allowzero: "int" }),
  ...define("Expand", [2, 2], expanded),
  ...define("Slice", [4, 5], sliced),
  ...define("Pad", [3, 4], padded),
  ...define("Transpose", [1, 1], transposed, { perm: "ints" }),
  ...define("Unsqueeze", [2, 2], unsqueezed),
  ...define("Gather", [2, 2], gathered, { axis: "int" }),
  ...define("GatherElements", [2, 2], gatheredElements, { axis: "int" }),
  ...define("ScatterElements", [3, 3], scatteredElements, { axis: "int", reduction: "string" }),
  ...define("ScatterND", [3, 3], scatteredSlices, { reduction: "string" }),
  ...define("MatMul", [2, 2], multiplied),
  ...define("Gemm", [2, 3], multipliedFlat, { transA: "int", transB: "int" }),
  ...define("Conv", [2, 2], convolved, { ...window, dilations: "ints", group: "int" }),
  ...define("ConvTranspose", [2, 2], convolvedBack, {
    ...window,
    dilations: "ints",
    group: "int",
    output_padding: "ints",
  }),
  ...define("AveragePool", [1, 1], pooled, { ...window, count_include_pad: "int" }),
  ...define("MaxPool", [1, 1], pooled, window, 2),
  ...define("Einsum", [1, 1], swapped, { equation: "string" }),
  ...define("LayerNormalization", [2, 3], normalized, norm, 3),
  ...define("SimplifiedLayerNormalization", [2, 2], normalized, norm, 2),
]);

/**
 * In programs that run in this process alone, and in no file: the engine's own layout for convolutions, whose blocks depend on the
 * machine, and what it would else make of several operators itself.
 */
const here: ReadonlyMap<string, Operator> = new Map([
  ...define(`${blockedDomain}.ReorderInput`, [1, 1], same),
  ...define(`${blockedDomain}.Conv`, [2, 4], convolved, {
    ...{ ...window, dilations: "ints", group: "int", activation: "string" },
  }),
  ...define(`${blockedDomain}.GlobalAveragePool`, [1, 1], ({ inputs: [x] }) => [
    { ...(x as Known), shape: [...(x as Known).shape.slice(0, 2), 1, 1] },
  ]),
  ...define(`${blockedDomain}.ReorderOutput`, [1, 1], same, { channels: "int" }),
  ...define(`${contribDomain}.FusedMatMul`, [2, 2], multipliedTurned, { transA: "int", transB: "int" }),
]);

const fullName = (type: string, domain: string) => (domain === "" ? type : `${domain}.${type}`);

/** What a file may hold, by name; of another domain than ONNX's own as "domain.Name". */
export const operatorOf = (type: string, domain = ""): Operator | undefined => operators.get(fullName(type, domain));

/** What a lowering may emit. */
export const operatorHere = (type: string, domain = ""): Operator | undefined =>
  operatorOf(type, domain) ?? here.get(fullName(type, domain));

function swapped({ inputs: [x], attributes }: Call): readonly Known[] {
  const { shape, dtype } = x as Known;
  const [a, b, c] = shape as [number, number, number];
  if (attributes.get("equation") !== swapsLast || shape.length !== 3) wrong(`only the equation ${swapsLast} is known`);
  return [{ shape: [a, c, b], dtype }];
}

function cast({ inputs: [x], attributes }: Call): readonly Known[] {
  const to = attributes.get("to");
  const dtype = dtypes.find((d) => onnxType[d] === to) ?? wrong(`it casts to the unknown type ${to}`);
  return [{ shape: (x as Known).shape, dtype }];
}

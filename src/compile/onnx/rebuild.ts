/**
 * A model that came from outside, made anew from the parts that were checked: nothing that is not looked at here ends
 * up in the result. Operators are those that programs of ours hold, every value is made before it is read, every shape
 * and type follows from the inputs, and all values are inside the file.
 */
import {
  bytesPerElement,
  contribDomain,
  type DType,
  dtypes,
  fail,
  formatShape,
  LayerwiseError,
  NDArray,
  type OnnxAttributes,
  type Shape,
  sameShape,
  sizeOf,
  type TypedArray,
} from "../../tensor/index.js";
import { operatorOf } from "../operators.js";
import { encodeGraph, encodeNode, encodeTensor, encodeValueInfo, onnxType, opset } from "./encode.js";
import {
  type AttributeProto,
  AttributeProto_AttributeType,
  type ModelProto,
  type NodeProto,
  type TensorProto,
  TensorProto_DataLocation,
  type ValueInfoProto,
} from "./onnx_pb.js";
import { type Known, wrong } from "./shapes.js";

/** No single value of a program is as large; what claims to be is refused before anything allocates it. */
const largest = 2 ** 36;

export interface Rebuilt {
  readonly model: ModelProto;
  readonly arrays: ReadonlyMap<string, NDArray>;
  /** Shape and type of every value. */
  readonly values: ReadonlyMap<string, Known>;
}

/** Throws a "file" error that begins with `source` and says what is wrong, and where. */
export function rebuild({ graph, functions, trainingInfo, opsetImport }: ModelProto, source: string): Rebuilt {
  return named(source, () => {
    if (!graph) return wrong("it holds no graph");
    if (
      functions.length + trainingInfo.length + graph.sparseInitializer.length + graph.quantizationAnnotation.length >
      0
    )
      wrong("it holds functions, sparse or quantised values, which no program of ours has");
    for (const { domain, version } of opsetImport)
      if (!(domain === "" && version === BigInt(opset)) && domain !== contribDomain)
        wrong(`operation set "${domain}" ${version}; expected ${opset}`);
    const values = new Map<string, Known>();
    const arrays = new Map<string, NDArray>();
    const inputs = graph.input.map((info) => declared(info, values));
    for (const tensor of graph.initializer) initial(tensor, arrays, values);
    const nodes = graph.node.map((node) => named(`node "${node.name}"`, () => rebuiltNode(node, values)));
    const outputs = graph.output.map((info) => resulting(info, values));
    const model = encodeGraph({
      name: graph.name,
      node: nodes,
      initializer: Array.from(arrays, ([name, array]) => encodeTensor(name, array)),
      input: inputs,
      output: outputs,
    });
    return { model, arrays, values };
  });
}

/** Say where, in front of what is wrong there. */
function named<T>(where: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    if (!(error instanceof LayerwiseError)) throw error;
    return fail("file", `${where}: ${error.message}`, { cause: error });
  }
}

const add = (values: Map<string, Known>, name: string, known: Known): void => {
  if (name === "") wrong("a value has no name");
  if (values.has(name)) wrong(`"${name}" is made twice`);
  if (!(sizeOf(known.shape) * bytesPerElement(known.dtype) <= largest))
    wrong(`"${name}" would be ${known.dtype}${formatShape(known.shape)}, more than any program of ours makes`);
  values.set(name, known);
};

const typeOf = (code: number, name: string): DType =>
  dtypes.find((d) => onnxType[d] === code) ?? wrong(`value "${name}" has the unknown type ${code}`);

function infoOf({ name, type }: ValueInfoProto): Known {
  const { value } = type ?? {};
  if (value?.case !== "tensorType") return wrong(`"${name}" is declared as no tensor`);
  const shape = (value.value.shape?.dim ?? wrong(`"${name}" is declared without a shape`)).map(({ value: n }) =>
    n.case === "dimValue" ? Number(n.value) : wrong(`"${name}" has a dimension that is not fixed`),
  );
  if (shape.some((n) => !Number.isSafeInteger(n) || n < 0)) wrong(`"${name}" is declared as ${formatShape(shape)}`);
  return { shape, dtype: typeOf(value.value.elemType, name) };
}

function declared(info: ValueInfoProto, values: Map<string, Known>): ValueInfoProto {
  const known = infoOf(info);
  add(values, info.name, known);
  return encodeValueInfo(info.name, known.dtype, known.shape);
}

function resulting(info: ValueInfoProto, values: ReadonlyMap<string, Known>): ValueInfoProto {
  const { name } = info;
  const known = infoOf(info);
  const made = values.get(name) ?? wrong(`output "${name}" is made by no node`);
  if (!agree(known, made))
    wrong(`output "${name}" is declared as ${described(known)}, its node makes ${described(made)}`);
  return encodeValueInfo(name, made.dtype, made.shape);
}

const agree = (a: Known, b: Known): boolean => a.dtype === b.dtype && sameShape(a.shape, b.shape);
const described = ({ dtype, shape }: Known): string => `${dtype}${formatShape(shape)}`;

/** A value of the file: of its own, or the first value of an input. */
function initial(tensor: TensorProto, arrays: Map<string, NDArray>, values: Map<string, Known>): void {
  const { name } = tensor;
  const array = arrayOf(tensor);
  const { shape, dtype } = array;
  if (arrays.has(name)) wrong(`value "${name}" is there twice`);
  arrays.set(name, array);
  const input = values.get(name);
  if (input && !agree(input, array)) wrong(`input "${name}" is ${described(input)}, its value ${described(array)}`);
  if (input) return;
  const isIndex = (dtype === "int64" || dtype === "int32") && array.size <= 64;
  add(values, name, { shape, dtype, values: isIndex ? array.toNumbers() : undefined });
}

const storage: Record<DType, new (buffer: ArrayBuffer) => TypedArray> = {
  float32: Float32Array,
  float16: Uint16Array,
  float64: Float64Array,
  int32: Int32Array,
  int64: BigInt64Array,
  bool: Uint8Array,
  int8: Int8Array,
  uint8: Uint8Array,
};

/** Its bytes must be what its shape says, and here. */
function arrayOf({ name, dims, dataType, rawData, dataLocation, externalData, segment }: TensorProto): NDArray {
  const shape: Shape = dims.map(Number);
  const dtype = typeOf(dataType, name);
  if (externalData.length > 0 || dataLocation === TensorProto_DataLocation.EXTERNAL || segment)
    wrong(`value "${name}" lies outside the file; programs of ours are whole`);
  const bytes = sizeOf(shape) * bytesPerElement(dtype);
  if (shape.some((n) => !Number.isSafeInteger(n) || n < 0) || bytes !== rawData.length)
    wrong(`value "${name}" is ${dtype}${formatShape(shape)} but has ${rawData.length} bytes`);
  const copy = new Uint8Array(rawData).buffer; // aligned, and apart from the file
  return new NDArray(new storage[dtype](copy), shape, dtype);
}

function rebuiltNode(node: NodeProto, values: Map<string, Known>): NodeProto {
  const { name, opType, domain, input, output, attribute } = node;
  const operator =
    operatorOf(opType, domain) ?? wrong(`it is a ${domain || "ai.onnx"}.${opType}, which no program of ours has`);
  const [fewest, most] = operator.inputs;
  if (input.length < fewest || input.length > most)
    wrong(`${opType} takes ${fewest} to ${most} values, it has ${input.length}`);
  if (output.length < 1 || output.length > operator.outputs)
    wrong(`${opType} gives ${operator.outputs} values, not ${output.length}`);
  const attributes = new Map(attribute.map((a) => [a.name, attributeOf(a, operator.attributes[a.name])] as const));
  const inputs = input.map((value) => values.get(value) ?? wrong(`it reads "${value}" before anything makes it`));
  const plain = Array.from(
    attributes,
    ([key, value]) => [key, typeof value === "object" && "float" in value ? value.float : value] as const,
  );
  const made = operator.infer({ inputs, attributes: new Map(plain) });
  if (output.length > made.length) wrong(`${opType} gives ${made.length} values here, not ${output.length}`);
  for (const [i, value] of output.entries()) add(values, value, made[i] as Known);
  return encodeNode(name, opType, input, output, Object.fromEntries(attributes), domain);
}

function attributeOf({ name, type, f, i, s, ints }: AttributeProto, kind: string | undefined): OnnxAttributes[string] {
  const integer = (value: bigint): number =>
    Number.isSafeInteger(Number(value)) ? Number(value) : wrong(`attribute "${name}" is ${value}`);
  if (kind === "int" && type === AttributeProto_AttributeType.INT) return integer(i);
  if (kind === "ints" && type === AttributeProto_AttributeType.INTS) return ints.map(integer);
  if (kind === "float" && type === AttributeProto_AttributeType.FLOAT) return { float: f };
  if (kind === "string" && type === AttributeProto_AttributeType.STRING) return new TextDecoder().decode(s);
  return wrong(`attribute "${name}" is none that programs of ours have there`);
}

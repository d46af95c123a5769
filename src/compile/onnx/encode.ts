/** Building ONNX protobuf messages from our own values. */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  blockedDomain,
  contribDomain,
  type DType,
  fail,
  type NDArray,
  type OnnxAttributes,
  type Shape,
} from "../../tensor/index.js";
import {
  type AttributeProto,
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  type GraphProtoSchema,
  type ModelProto,
  ModelProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  type TensorProto,
  TensorProto_DataType,
  TensorProtoSchema,
  TensorShapeProto_DimensionSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from "./onnx_pb.js";

export const onnxType: Record<DType, TensorProto_DataType> = {
  float32: TensorProto_DataType.FLOAT,
  float16: TensorProto_DataType.FLOAT16,
  float64: TensorProto_DataType.DOUBLE,
  int32: TensorProto_DataType.INT32,
  int64: TensorProto_DataType.INT64,
  bool: TensorProto_DataType.BOOL,
  int8: TensorProto_DataType.INT8,
  uint8: TensorProto_DataType.UINT8,
};

export const opset = 21;

/** A model around a graph. The second domain is where the engine's own fusions live. */
export const encodeGraph = (graph: MessageInitShape<typeof GraphProtoSchema>): ModelProto =>
  create(ModelProtoSchema, {
    irVersion: 10n,
    producerName: "layerwise",
    opsetImport: [
      { domain: "", version: BigInt(opset) },
      { domain: contribDomain, version: 1n },
      ...(graph.node?.some(({ domain }) => domain === blockedDomain) ? [{ domain: blockedDomain, version: 1n }] : []),
    ],
    graph,
  });

const text = new TextEncoder();

export function encodeAttribute(name: string, value: OnnxAttributes[string]): AttributeProto {
  if (typeof value === "string")
    return create(AttributeProtoSchema, { name, type: AttributeProto_AttributeType.STRING, s: text.encode(value) });
  if (typeof value === "number") {
    if (!Number.isInteger(value))
      fail("argument", `ONNX attribute "${name}": ${value} is not an integer; give floats as { float: value }`);
    return create(AttributeProtoSchema, { name, type: AttributeProto_AttributeType.INT, i: BigInt(value) });
  }
  if ("float" in value)
    return create(AttributeProtoSchema, { name, type: AttributeProto_AttributeType.FLOAT, f: value.float });
  return create(AttributeProtoSchema, {
    name,
    type: AttributeProto_AttributeType.INTS,
    ints: value.map((v) => BigInt(v)),
  });
}

export const encodeNode = (
  name: string,
  opType: string,
  inputs: readonly string[],
  outputs: readonly string[],
  attributes: OnnxAttributes = {},
  domain = "",
): NodeProto =>
  create(NodeProtoSchema, {
    name,
    opType,
    domain,
    input: [...inputs],
    output: [...outputs],
    attribute: Object.entries(attributes).map(([key, value]) => encodeAttribute(key, value)),
  });

export function encodeTensor(name: string, array: NDArray): TensorProto {
  const { buffer, byteOffset, byteLength } = array.data;
  return create(TensorProtoSchema, {
    name,
    dims: array.shape.map((n) => BigInt(n)),
    dataType: onnxType[array.dtype],
    rawData: new Uint8Array(buffer, byteOffset, byteLength),
  });
}

export const encodeValueInfo = (name: string, dtype: DType, shape: Shape): ValueInfoProto =>
  create(ValueInfoProtoSchema, {
    name,
    type: { value: { case: "tensorType", value: { elemType: onnxType[dtype], shape: { dim: shape.map(dimension) } } } },
  });

const dimension = (n: number) =>
  create(TensorShapeProto_DimensionSchema, { value: { case: "dimValue", value: BigInt(n) } });

import { create } from "@bufbuild/protobuf";
import type { DType } from "../tensor/index.js";
import { encodeModel } from "./lower.js";
import { encodeGraph, encodeNode, onnxType } from "./onnx/encode.js";
import { ValueInfoProtoSchema } from "./onnx/onnx_pb.js";

/** The smallest program: y is x, of any shape. */
export function copyModel(dtype: DType): Uint8Array {
  const array = (name: string) =>
    create(ValueInfoProtoSchema, {
      name,
      type: { value: { case: "tensorType", value: { elemType: onnxType[dtype] } } },
    });
  const node = [encodeNode("copy", "Identity", ["x"], ["y"])];
  return encodeModel(encodeGraph({ name: "copy", node, input: [array("x")], output: [array("y")] }));
}

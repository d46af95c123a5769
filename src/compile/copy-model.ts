import { type DType, input, makeNode, type Operation, operations, type Shape, type Tensor } from "../tensor/index.js";
import { encodeModel, lower } from "./lower.js";

/** The smallest program: y is x. */
export function copyModel(dtype: DType, shape: Shape): Uint8Array {
  const x = input([], { name: "x", shape, dtype });
  const [y] = makeNode(operations.get("identity") as Operation, [x], {}, "") as [Tensor];
  return encodeModel(lower(new Map([["y", y]]), "copy", "webgpu").model);
}

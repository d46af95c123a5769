/**
 * A session whose weights are constants, which engines pack for their products once. They are handed over beside the
 * model, each as it lies in memory: nothing is encoded, and together they may be larger than the 2 GB of a message.
 */
import { create, toBinary } from "@bufbuild/protobuf";
import {
  type GraphProto,
  ModelProtoSchema,
  StringStringEntryProtoSchema,
  type TensorProto,
  TensorProto_DataLocation,
} from "../compile/onnx/onnx_pb.js";
import { type WeightType, withWeights } from "../compile/quantized-weights.js";
import { NDArray } from "../tensor/index.js";
import type { Backend, Session } from "./backend.js";
import type { DynamicModel } from "./dynamic.js";

/** Smaller values stay in the model: engines compute shapes from some of them. */
const smallest = 1024;

/** `onDevice` names the outputs that are fed again. Weights are what the variables hold now. */
export async function sessionWithWeights(
  { model, variables }: DynamicModel,
  type: WeightType,
  backend: Backend,
  onDevice: readonly string[],
): Promise<Session> {
  const values = new Map<string, NDArray>();
  for (const [variable, name] of variables)
    values.set(name, variable.current instanceof NDArray ? variable.current : await variable.current.read());
  const graph = model.graph as GraphProto;
  const whole = withWeights({ ...graph, input: graph.input.filter(({ name }) => !values.has(name)) }, values, type);
  const files = new Map<string, Uint8Array>();
  const placed = whole.weights.map((tensor) => {
    if (tensor.rawData.length < smallest) return tensor;
    const file = `weight${files.size}`;
    files.set(file, tensor.rawData);
    return elsewhere(tensor, file);
  });
  const initializer = [...whole.graph.initializer, ...placed];
  const bytes = toBinary(ModelProtoSchema, { ...model, graph: { ...whole.graph, initializer } });
  return backend.createSession(bytes, { onDevice, files });
}

function elsewhere(tensor: TensorProto, location: string): TensorProto {
  const entries = { location, offset: "0", length: String(tensor.rawData.length) };
  return {
    ...tensor,
    rawData: new Uint8Array(0),
    dataLocation: TensorProto_DataLocation.EXTERNAL,
    externalData: Object.entries(entries).map(([key, value]) => create(StringStringEntryProtoSchema, { key, value })),
  };
}

/**
 * The native package copies every output while it hands it over, also those it was given arrays for: an eighth of a GPT
 * training step. It does so in order, after the run has filled them all, and refuses a sequence. So a program gets one
 * more output, in front, that is an empty sequence: a run that asks for it stops there, and what it computed is in the
 * arrays it was given. Packages that hand over without copying simply return.
 */
import { create, toBinary } from "@bufbuild/protobuf";
import { encodeGraph, encodeNode, encodeValueInfo } from "../compile/onnx/encode.js";
import { ModelProtoSchema, TensorProto_DataType, ValueInfoProtoSchema } from "../compile/onnx/onnx_pb.js";
import type { OrtModule } from "./ort.js";

/** The output in front of all others. */
export const stopName = "layerwise/stop";

const refusal = /non.tensor type/i;
export const isStop = (error: unknown): boolean => error instanceof Error && refusal.test(error.message);

const stop = toBinary(
  ModelProtoSchema,
  create(ModelProtoSchema, {
    graph: {
      node: [encodeNode(stopName, "SequenceEmpty", [], [stopName])],
      output: [
        create(ValueInfoProtoSchema, {
          name: stopName,
          type: {
            value: {
              case: "sequenceType",
              value: { elemType: { value: { case: "tensorType", value: { elemType: TensorProto_DataType.FLOAT } } } },
            },
          },
        }),
      ],
    },
  }),
);

/** Messages of one type laid end to end are one message, whose lists are joined. */
export function withStop(model: Uint8Array): Uint8Array {
  const joined = new Uint8Array(stop.length + model.length);
  joined.set(stop);
  joined.set(model, stop.length);
  return joined;
}

let known: Promise<boolean> | undefined;

/** Whether this package fills what it is given and stops as described; tried once. */
export function stops(ort: OrtModule): Promise<boolean> {
  known ??= tried(ort);
  return known;
}

async function tried({ InferenceSession, Tensor }: OrtModule): Promise<boolean> {
  const model = encodeGraph({
    name: "stop",
    node: [encodeNode("y", "Neg", ["x"], ["y"])],
    input: [encodeValueInfo("x", "float32", [1])],
    output: [encodeValueInfo("y", "float32", [1])],
  });
  const session = await InferenceSession.create(withStop(toBinary(ModelProtoSchema, model)));
  const y = new Tensor("float32", new Float32Array(1), [1]);
  try {
    await session.run({ x: new Tensor("float32", new Float32Array([-7]), [1]) }, { [stopName]: null, y });
    return false;
  } catch (error) {
    return isStop(error) && y.data[0] === 7;
  } finally {
    await session.release();
  }
}

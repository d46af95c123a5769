/** Two numbers for every node of a graph, computed by the engine itself: mean and root mean square of what it gives. */
import { toBinary } from "@bufbuild/protobuf";
import { encodeGraph, encodeNode, encodeValueInfo, onnxType } from "../compile/onnx/encode.js";
import { type GraphProto, ModelProtoSchema } from "../compile/onnx/onnx_pb.js";
import type { Rebuilt } from "../compile/onnx/rebuild.js";
import { type DeviceArray, sizeOf } from "../tensor/index.js";
import type { Backend } from "./backend.js";

/** Node name → [mean, root mean square], in order. Other nodes cannot be fused over them, so each stands for itself. */
export type Signatures = ReadonlyMap<string, readonly [mean: number, rms: number]>;

export interface Signer {
  sign(fed: ReadonlyMap<string, DeviceArray>): Promise<Signatures>;
  release(): Promise<void>;
}

export async function signer(backend: Backend, { model, values }: Rebuilt): Promise<Signer> {
  const graph = model.graph as GraphProto;
  const signed = graph.node.flatMap(({ name, output: [value] }, i) => {
    const known = value === undefined ? undefined : values.get(value);
    const size = sizeOf(known?.shape ?? [0]);
    return known && size > 0 ? [{ name, value: value as string, size, dtype: known.dtype, outputs: outputsOf(i) }] : [];
  });
  const added = signed.map(({ value, dtype, outputs: [mean, squares] }) => {
    const number = dtype === "float32" ? value : `${mean} of`;
    return [
      ...(number === value ? [] : [encodeNode(number, "Cast", [value], [number], { to: onnxType.float32 })]),
      encodeNode(mean, "ReduceMean", [number], [mean], { keepdims: 0 }),
      encodeNode(squares, "ReduceSumSquare", [number], [squares], { keepdims: 0 }),
    ];
  });
  const names = signed.flatMap(({ outputs }) => outputs);
  const whole = encodeGraph({
    name: graph.name,
    // The engine works towards the last ends of a graph first: backwards, so that each value is signed as soon as it is
    // there, and not all of them are kept until the end.
    node: [...graph.node, ...added.reverse().flat()],
    initializer: graph.initializer,
    input: graph.input,
    output: names.map((name) => encodeValueInfo(name, "float32", [])),
  });
  if (names.length === 0) return { sign: async () => new Map(), release: async () => {} };
  const session = await backend.createSession(toBinary(ModelProtoSchema, whole), { onDevice: [] });
  return {
    async sign(fed) {
      const results = await session.run(fed, names, new Map());
      const read = async (name: string) => (await (results.get(name) as DeviceArray).read()).item();
      const pairs = signed.map(async ({ name, size, outputs: [mean, squares] }) => {
        return [name, [await read(mean), Math.sqrt((await read(squares)) / size)] as const] as const;
      });
      return new Map(await Promise.all(pairs));
    },
    release: () => session.release(),
  };
}

const outputsOf = (i: number) => [`signature mean ${i}`, `signature squares ${i}`] as const;

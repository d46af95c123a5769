/** Two numbers for every node of a graph, computed by the engine itself: mean and root mean square of what it gives. */
import { toBinary } from "@bufbuild/protobuf";
import { encodeGraph, encodeNode, encodeTensor, encodeValueInfo, onnxType } from "../compile/onnx/encode.js";
import { type GraphProto, ModelProtoSchema, type NodeProto } from "../compile/onnx/onnx_pb.js";
import type { Rebuilt } from "../compile/onnx/rebuild.js";
import { type DeviceArray, NDArray, sizeOf } from "../tensor/index.js";
import type { Backend } from "./backend.js";

/** Node name → [mean, root mean square], in order. Other nodes cannot be fused over them, so each stands for itself. */
export type Signatures = ReadonlyMap<string, readonly [mean: number, rms: number]>;

const one = "signature one";
const outputs = ["signature means", "signature squares"] as const;

export interface Signer {
  sign(fed: ReadonlyMap<string, DeviceArray>): Promise<Signatures>;
  release(): Promise<void>;
}

export async function signer(backend: Backend, { model, values }: Rebuilt): Promise<Signer> {
  const graph = model.graph as GraphProto;
  const nodes = graph.node.filter(({ output: [first] }) => {
    const known = first === undefined ? undefined : values.get(first);
    return known && sizeOf(known.shape) > 0;
  });
  if (nodes.length === 0) return { sign: async () => new Map(), release: async () => {} };
  const added: NodeProto[] = [];
  const means: string[] = [];
  const squares: string[] = [];
  const emit = (
    type: string,
    inputs: readonly string[],
    attributes = {},
    name = `signature ${added.length}`,
  ): string => {
    added.push(encodeNode(name, type, inputs, [name], attributes));
    return name;
  };
  for (const { output } of nodes) {
    const value = output[0] as string;
    const number = values.get(value)?.dtype === "float32" ? value : emit("Cast", [value], { to: onnxType.float32 });
    const mean = (of: string) => emit("Reshape", [emit("ReduceMean", [of], { keepdims: 0 }), one]);
    means.push(mean(number));
    squares.push(mean(emit("Mul", [number, number])));
  }
  // Few at a time: WebGPU binds no more buffers than that to a kernel.
  const join = (parts: readonly string[], name: string): void => {
    let level = [...parts];
    while (level.length > 4)
      level = Array.from({ length: Math.ceil(level.length / 4) }, (_, i) =>
        emit("Concat", level.slice(4 * i, 4 * i + 4), { axis: 0 }),
      );
    emit("Concat", level, { axis: 0 }, name);
  };
  join(means, outputs[0]);
  join(squares, outputs[1]);
  const signed = encodeGraph({
    name: graph.name,
    node: [...graph.node, ...added],
    initializer: [...graph.initializer, encodeTensor(one, NDArray.from([1], "int64"))],
    input: graph.input,
    output: outputs.map((name) => encodeValueInfo(name, "float32", [nodes.length])),
  });
  const session = await backend.createSession(toBinary(ModelProtoSchema, signed), { onDevice: [] });
  return {
    async sign(fed) {
      const results = await session.run(fed, outputs, new Map());
      const [mean, square] = await Promise.all(outputs.map(async (name) => (results.get(name) as DeviceArray).read()));
      return new Map(nodes.map(({ name }, i) => [name, [mean?.at(i) ?? 0, Math.sqrt(square?.at(i) ?? 0)] as const]));
    },
    release: () => session.release(),
  };
}

/**
 * Programs as ONNX files. A file is whole: variables are inside, nodes have the names of modules, and it carries a
 * probe, inputs with the outputs they must give, so that whoever loads it knows that this engine computes it rightly.
 */
import { create, toBinary } from "@bufbuild/protobuf";
import { encodeTensor } from "../compile/onnx/encode.js";
import {
  type GraphProto,
  GraphProtoSchema,
  type ModelProto,
  ModelProtoSchema,
  StringStringEntryProtoSchema,
} from "../compile/onnx/onnx_pb.js";
import { type Rebuilt, rebuild } from "../compile/onnx/rebuild.js";
import { fail } from "../tensor/index.js";
import { checksum } from "./checksum.js";
import type { Arrays, Position, Runnable } from "./execute.js";
import { makeProbe } from "./file-probe.js";
import { formatManifest, type Manifest, manifestKey } from "./manifest.js";

export type Savable = Runnable & { readonly model: ModelProto };

/** Protobuf counts bytes in 31 bits. */
const largestFile = 2 ** 31 - 1;

/**
 * The program as an ONNX file that any viewer opens: variables are values of the file, those it updates are inputs too,
 * with these as defaults. `feeds` become its probe (the range they are in, where they are many). Throws a "file" error
 * where it would not fit into one file.
 */
export async function encodeProgram(program: Savable, feeds: Arrays, { seed, step }: Position): Promise<Uint8Array> {
  const { model, inputs, outputs, updates, variables, random, observed } = program;
  const bytes = Array.from(variables.keys()).reduce((sum, { current }) => sum + sizeOfArray(current.shape), 0);
  if (bytes > largestFile / 4)
    fail("file", `save: the variables have ${bytes} elements, more than one ONNX file holds; save them as safetensors`);
  const initializers = await Promise.all(
    Array.from(variables, async ([variable, name]) => encodeTensor(name, await variable.data())),
  );
  const readOnly = new Set(Array.from(variables, ([variable, name]) => (updates.has(variable) ? "" : name)));
  const graph = model.graph as GraphProto;
  const whole = rebuild(
    create(ModelProtoSchema, {
      ...model,
      graph: {
        ...graph,
        initializer: [...graph.initializer, ...initializers],
        input: graph.input.filter(({ name }) => !readOnly.has(name)),
      },
    }),
    "save",
  );
  const manifest: Manifest = {
    seed,
    step,
    inputs,
    outputs,
    observed,
    updates: new Map(
      Array.from(updates, ([variable, next]) => [variables.get(variable) ?? "", next] as const).filter(
        ([name]) => name,
      ),
    ),
    random,
    ...checksumsOf(whole),
    probe: await makeProbe(program, rebuild(model, "save"), feeds),
  };
  const metadataProps = [create(StringStringEntryProtoSchema, { key: manifestKey, value: formatManifest(manifest) })];
  return toBinary(ModelProtoSchema, { ...whole.model, metadataProps });
}

const sizeOfArray = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1);

export type Checksums = Pick<Manifest, "graphChecksum" | "checksums">;

/** Of the parts of a rebuilt model: the same whatever wrote the file, as long as it says the same. */
export function checksumsOf({ model, arrays }: Rebuilt): Checksums {
  const graph: GraphProto = { ...(model.graph as GraphProto), initializer: [] };
  return {
    graphChecksum: checksum(toBinary(GraphProtoSchema, graph)),
    checksums: new Map(
      Array.from(arrays, ([name, { data }]) => [
        name,
        checksum(new Uint8Array(data.buffer, data.byteOffset, data.byteLength)),
      ]),
    ),
  };
}

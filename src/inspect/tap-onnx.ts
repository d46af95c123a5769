/** ONNX files made by others: what is in them, and copies that also give inner values. */
import { create, toBinary } from "@bufbuild/protobuf";
import { decodeModel } from "../compile/onnx/decode.js";
import {
  type GraphProto,
  type ModelProto,
  ModelProtoSchema,
  type NodeProto,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from "../compile/onnx/onnx_pb.js";
import { fail } from "../tensor/index.js";
import { nearest } from "../tensor/nearest.js";
import { dtypeOf, shapeOf, typeName } from "./onnx-values.js";

export type OnnxModel = ModelProto & { readonly graph: GraphProto };

/** Throws a "file" error that begins with `source` for what is no ONNX file, or one without a graph. */
export function decodeOnnx(bytes: Uint8Array, source = "model"): OnnxModel {
  const model = decodeModel(bytes, source);
  const { graph } = model;
  if (!graph || (graph.node.length === 0 && graph.initializer.length === 0))
    return fail("file", `${source}: not an ONNX model: it holds no graph`);
  return model as OnnxModel;
}

export const encodeOnnx = (model: OnnxModel): Uint8Array<ArrayBuffer> => toBinary(ModelProtoSchema, model);

export type OnnxKind = "input" | "node" | "initializer";

export interface OnnxValue {
  readonly name: string;
  readonly kind: OnnxKind;
  /** What makes it: `MatMul`, `com.microsoft.Attention`; empty for inputs and initialisers. */
  readonly operator: string;
  /** The node that makes it. */
  readonly node: string;
  /** As the file declares it; a name stands for an axis of any size. Nothing where it says nothing. */
  readonly shape: readonly (number | string)[] | undefined;
  readonly dtype: string | undefined;
}

/** Everything in the main graph that has a name, in the file's order: inputs, initialisers, what each node gives. */
export function onnxValues({ graph }: OnnxModel, source = "model"): OnnxValue[] {
  const declared = new Map([...graph.valueInfo, ...graph.output, ...graph.input].map((info) => [info.name, info]));
  const stored = new Set(graph.initializer.map(({ name }) => name));
  const plain = { operator: "", node: "" };
  return [
    ...graph.input
      .filter(({ name }) => !stored.has(name))
      .map((info) => ({ name: info.name, kind: "input" as const, ...plain, ...declaredType(info) })),
    ...graph.initializer.map((tensor) => ({
      name: tensor.name,
      kind: "initializer" as const,
      ...plain,
      shape: shapeOf(tensor, source),
      dtype: typeName(tensor.dataType),
    })),
    ...graph.node.flatMap((node) =>
      node.output
        .filter((name) => name !== "")
        .map((name) => ({
          name,
          kind: "node" as const,
          operator: operatorOf(node),
          node: node.name,
          ...declaredType(declared.get(name)),
        })),
    ),
  ];
}

const operatorOf = ({ domain, opType }: NodeProto): string => (domain === "" ? opType : `${domain}.${opType}`);

/** A tensor's shape and type; of sequences and the like only that there is no shape. */
export function declaredType(info: ValueInfoProto | undefined): Pick<OnnxValue, "shape" | "dtype"> {
  const type = info?.type?.value;
  if (type?.case === undefined) return { shape: undefined, dtype: undefined };
  if (type.case !== "tensorType") return { shape: undefined, dtype: type.case.replace(/Type$/, "") };
  const shape = type.value.shape?.dim.map(({ value }) =>
    value.case === "dimValue" ? Number(value.value) : value.case === "dimParam" ? value.value : "?",
  );
  return { shape, dtype: typeName(type.value.elemType) };
}

/**
 * The values that a query names: `*` stands for any characters, so that "/layers.3/*" is all of layer 3. A node's name
 * names what it gives. Throws an "argument" error where nothing matches, with the nearest name.
 */
export function matchingValues(values: readonly OnnxValue[], query: string): OnnxValue[] {
  const exact = values.filter(({ name }) => name === query);
  if (exact.length > 0) return exact;
  const source = query.replace(/[.$()+?[\\\]^{|}]/g, "\\$&").replace(/\*+/g, ".*");
  const full = new RegExp(`^${source}$`, "s");
  const found = values.filter(({ name, node }) => full.test(name) || (node !== "" && full.test(node)));
  if (found.length > 0 && query.trim() !== "") return found;
  const guess = nearest(
    query,
    values.flatMap(({ name, node }) => (node === "" ? [name] : [node, name])),
  );
  return fail(
    "argument",
    `query "${query}": nothing in the file has this name${guess === undefined ? "" : `; did you mean "${guess}"?`}`,
  );
}

/**
 * A copy of an ONNX file whose graph also gives the values `names`, in this order, after its own outputs. Everything else
 * is as it was: operation sets, other domains, functions, metadata. Their type is said where the file declares it and
 * otherwise left to the engine. Values of subgraphs (in `If`, `Loop`) cannot be outputs.
 *
 * @throws LayerwiseError "file" for bytes that are no ONNX file, "argument" for a name that the main graph has not.
 */
export function tapOnnx(bytes: Uint8Array, names: readonly string[], source = "model"): Uint8Array<ArrayBuffer> {
  return encodeOnnx(tapped(decodeOnnx(bytes, source), names, source));
}

export function tapped(model: OnnxModel, names: readonly string[], source: string): OnnxModel {
  const { graph } = model;
  const known = new Set(onnxValues(model, source).map(({ name }) => name));
  const declared = new Map([...graph.valueInfo, ...graph.input].map((info) => [info.name, info]));
  const given = new Set(graph.output.map(({ name }) => name));
  for (const name of names)
    if (!known.has(name)) {
      const guess = nearest(name, [...known]);
      const hint = guess === undefined ? "" : `; did you mean "${guess}"?`;
      fail("argument", `${source}: no value of the graph is called "${name}"${hint}`);
    }
  const added = [...new Set(names)].filter((name) => !given.has(name));
  const types = new Map(graph.initializer.map((tensor) => [tensor.name, tensor]));
  const output = added.map((name) => declared.get(name) ?? infoOf(name, types.get(name)));
  return { ...model, graph: { ...graph, output: [...graph.output, ...output] } };
}

function infoOf(name: string, tensor: GraphProto["initializer"][number] | undefined): ValueInfoProto {
  if (!tensor) return create(ValueInfoProtoSchema, { name });
  const dim = tensor.dims.map((n) => ({ value: { case: "dimValue" as const, value: n } }));
  const value = { elemType: tensor.dataType, shape: { dim } };
  return create(ValueInfoProtoSchema, { name, type: { value: { case: "tensorType", value } } });
}

/** Whether arrays of ours can hold it, as far as the file says. */
export const isReadable = ({ dtype }: OnnxValue): boolean =>
  dtype === undefined || [...dtypeOf.values()].includes(dtype as never);

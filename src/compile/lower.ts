/** From a graph of tensors to one ONNX model. Node names are module paths; leaves become inputs of the model. */
import { toBinary } from "@bufbuild/protobuf";
import {
  blockedDomain,
  type ConstantAttributes,
  fail,
  type InputAttributes,
  type Lowering,
  NDArray,
  type Node,
  type OnnxAttributes,
  type RandomAttributes,
  reachable,
  sameShape,
  type Target,
  type Tensor,
  type Variable,
} from "../tensor/index.js";
import { fuseConvolutions } from "./fused-convolutions.js";
import { constantKey, isLeaf } from "./graph.js";
import { encodeGraph, encodeNode, encodeTensor, encodeValueInfo, onnxType } from "./onnx/encode.js";
import { type ModelProto, ModelProtoSchema, type NodeProto, type TensorProto } from "./onnx/onnx_pb.js";
import { operatorHere } from "./operators.js";

export interface LoweredProgram {
  readonly model: ModelProto;
  /** Model input names by what feeds them. */
  readonly inputs: ReadonlyMap<string, string>;
  readonly variables: ReadonlyMap<Variable, string>;
  readonly random: readonly { readonly name: string; readonly attributes: RandomAttributes }[];
  readonly nodes: readonly Node[];
  /** ONNX node name → the tensor node it came from. */
  readonly origins: ReadonlyMap<string, Node>;
}

export interface LowerOptions {
  /** The program runs in this process alone: it may hold what no file may. */
  readonly here?: boolean;
  /** Channels in a block of this engine's own layout for convolutions: such a program runs on this machine alone. */
  readonly channelBlock?: number | undefined;
}

/** `outputs` and `updates` by the name their value has in the model. */
export function lower(
  outputs: ReadonlyMap<string, Tensor>,
  name: string,
  target: Target,
  options: LowerOptions = {},
): LoweredProgram {
  // Reserved first, so that an input may have the name of an output.
  const builder = new GraphBuilder(target, options, outputs.keys());
  const nodes = reachable(outputs.values());
  for (const tensor of outputs.values()) builder.used.add(tensor);
  for (const node of nodes) for (const tensor of node.inputs) builder.used.add(tensor);
  for (const node of nodes) builder.add(node);
  builder.nameOutputs(outputs);
  const node = builder.fused(outputs.keys());
  const model = encodeGraph({
    name,
    node,
    initializer: builder.initializers,
    input: builder.leaves.map(({ name, tensor }) => encodeValueInfo(name, tensor.dtype, tensor.shape)),
    output: [...outputs].map(([output, tensor]) => encodeValueInfo(output, tensor.dtype, tensor.shape)),
  });
  const { inputs, variables, random, origins } = builder;
  return { model, inputs, variables, random, nodes, origins };
}

export const encodeModel = (model: ModelProto): Uint8Array => toBinary(ModelProtoSchema, model);

class GraphBuilder {
  readonly nodes: NodeProto[] = [];
  readonly initializers: TensorProto[] = [];
  readonly leaves: { name: string; tensor: Tensor }[] = [];
  readonly inputs = new Map<string, string>();
  readonly variables = new Map<Variable, string>();
  readonly random: { name: string; attributes: RandomAttributes }[] = [];
  readonly origins = new Map<string, Node>();
  readonly used = new Set<Tensor>();
  readonly #values = new Map<Tensor, string>();
  /** The values that are there in blocks of channels: alone, or beside those of #values. */
  readonly #blocked = new Map<Tensor, string>();
  readonly #names: Set<string>;
  readonly #constants = new Map<string | NDArray, string>();
  /** What has been computed, by what computes it. */
  readonly #computed = new Map<string, readonly string[]>();

  constructor(
    readonly target: Target,
    readonly options: LowerOptions,
    reserved: Iterable<string>,
  ) {
    this.#names = new Set(reserved);
  }

  add(node: Node): void {
    if (isLeaf(node)) this.#leaf(node);
    else this.#lower(node, node);
  }

  /** Nodes that a lowering made, after what they need; they count as parts of `whole`. */
  #addParts(node: Node, whole: Node): void {
    if (node.outputs.some((output) => this.#values.has(output) || this.#blocked.has(output))) return;
    for (const { node: before } of node.inputs) this.#addParts(before, whole);
    if (isLeaf(node)) this.#leaf(node);
    else this.#lower(node, whole);
  }

  /** Computed values are renamed to their output names; leaves and values asked for twice need a copy. */
  nameOutputs(outputs: ReadonlyMap<string, Tensor>): void {
    const renamed = new Map<string, string>();
    for (const tensor of outputs.values()) this.#value(tensor); // turned back from blocks before all are counted
    const computed = new Set(this.nodes.flatMap((node) => node.output));
    const copies: NodeProto[] = [];
    for (const [name, tensor] of outputs) {
      const value = this.#value(tensor);
      if (computed.has(value) && !renamed.has(value)) renamed.set(value, name);
      else copies.push(encodeNode(this.#unique(`${name}/copy`), "Identity", [value], [name]));
    }
    this.nodes.push(...copies);
    const rename = (value: string) => renamed.get(value) ?? value;
    for (const node of this.nodes) {
      node.input = node.input.map(rename);
      node.output = node.output.map(rename);
    }
  }

  fused(results: Iterable<string>): NodeProto[] {
    return this.#blocked.size === 0
      ? this.nodes
      : fuseConvolutions(this.nodes, new Set(this.#blocked.values()), results);
  }

  #value(tensor: Tensor): string {
    const known = this.#values.get(tensor);
    if (known !== undefined) return known;
    const blocked = this.#blocked.get(tensor) ?? fail("trace", `compile: ${tensor} was used before it was made`);
    const value = this.#turned("ReorderOutput", tensor, blocked, { channels: tensor.dim(1) });
    this.#values.set(tensor, value);
    return value;
  }

  /** In blocks: as it is, or turned for whoever asks. */
  #inBlocks(tensor: Tensor): string {
    const known = this.#blocked.get(tensor);
    if (known !== undefined) return known;
    const value = this.#turned("ReorderInput", tensor, this.#value(tensor), {});
    this.#blocked.set(tensor, value);
    return value;
  }

  #turned(type: string, { node }: Tensor, from: string, attributes: OnnxAttributes): string {
    const name = this.#unique(`${from}/${type}`);
    this.origins.set(name, node);
    this.nodes.push(encodeNode(name, type, [from], [name], attributes, blockedDomain));
    return name;
  }

  /** Elementwise, and what it takes has its shape or is one number: such an operation does not care for the layout. */
  #runsInBlocks({ operation, inputs, outputs }: Node): boolean {
    const [y] = outputs as [Tensor];
    if (!operation.scalar || !fillsBlocks(y, this.options.channelBlock)) return false;
    const whole = inputs.filter((x) => x.size !== 1);
    return (
      whole.some((x) => this.#blocked.has(x)) &&
      whole.every((x) => x.dtype === y.dtype && sameShape(x.shape, y.shape)) &&
      inputs.every((x) => x.rank <= y.rank)
    );
  }

  #leaf(node: Node): void {
    const [tensor] = node.outputs as [Tensor];
    if (node.operation.name === "constant") {
      this.#values.set(tensor, this.#constant((node.attributes as ConstantAttributes).array));
      return;
    }
    const name = this.#unique(leafName(node));
    this.#values.set(tensor, name);
    this.leaves.push({ name, tensor });
    if (node.operation.name === "input") this.inputs.set((node.attributes as InputAttributes).name, name);
    else if (node.operation.name === "variable") this.variables.set(tensor as Variable, name);
    else this.random.push({ name, attributes: node.attributes as RandomAttributes });
  }

  #lower(node: Node, whole: Node): void {
    const base = this.#unique(`${whole.path ? `${whole.path}/` : ""}${node.operation.name}`);
    const own = node.outputs.map((_, i) => (node.outputs.length === 1 ? base : `${base}:${i}`));
    let parts = 0;
    const push = (
      type: string,
      inputs: readonly string[],
      outputs: readonly string[],
      attributes?: OnnxAttributes,
      domain?: string,
    ) => {
      const key = [domain, type, outputs.length, ...described(attributes), ...inputs].join("\n");
      const known = this.#computed.get(key);
      if (known) return known;
      const name = parts++ === 0 ? base : `${base}/${parts}`;
      checkListed(node, type, inputs.length, outputs.length, Object.keys(attributes ?? {}), domain);
      this.origins.set(name, whole);
      this.nodes.push(encodeNode(name, type, inputs, outputs, attributes, domain));
      this.#computed.set(key, outputs);
      return outputs;
    };
    const values: Lowering["values"] = (count, type, inputs, attributes, domain) => {
      const outputs = Array.from({ length: count }, (_, i) =>
        this.#unique(`${base}~${type}${count > 1 ? `:${i}` : ""}`),
      );
      return push(type, inputs, outputs, attributes, domain);
    };
    const value: Lowering["value"] = (type, inputs, attributes, domain) =>
      values(1, type, inputs, attributes, domain)[0] as string;
    const bound: (string | undefined)[] = [...own];
    const bind = (...names: readonly string[]) => void bound.splice(0, names.length, ...names);
    const inBlocks = this.#runsInBlocks(node);
    const lowering: Lowering = {
      node,
      attributes: node.attributes,
      target: this.target,
      here: this.options.here ?? false,
      channelBlock: this.options.channelBlock,
      inputs: lazily(node.inputs, (x) => (inBlocks && x.size !== 1 ? this.#inBlocks(x) : this.#value(x))),
      blocked: (i, turn) => {
        const x = node.inputs[i] as Tensor;
        return fillsBlocks(x, this.options.channelBlock) && (turn || this.#blocked.has(x))
          ? this.#inBlocks(x)
          : undefined;
      },
      bindBlocked: (i, value) => {
        bound[i] = undefined;
        this.#blocked.set(node.outputs[i] as Tensor, value);
      },
      emit: (type, inputs, attributes, domain) => bind(...push(type, inputs, own, attributes, domain)),
      value,
      values,
      isUsed: (i) => this.used.has(node.outputs[i] as Tensor),
      bind,
      compose: (output) => {
        this.#addParts(output.node, whole);
        bind(this.#value(output));
      },
      constant: (array) => this.#constant(array),
      integers: (numbers) => this.#constant(NDArray.from([...numbers], "int64")),
      scalar: (number, dtype) => this.#constant(NDArray.from(number, dtype)),
      cast: (name, to) => value("Cast", [name], { to: onnxType[to] }),
      emitCast: (name, to) => bind(...push("Cast", [name], own, { to: onnxType[to] })),
    };
    node.operation.lower(lowering);
    for (const [i, output] of node.outputs.entries()) {
      const value = bound[i];
      if (value !== undefined) (inBlocks ? this.#blocked : this.#values).set(output, value);
    }
  }

  /** Equal small constants are kept once, and each array. */
  #constant(array: NDArray): string {
    const key = constantKey(array) ?? array;
    const known = this.#constants.get(key);
    if (known) return known;
    const name = this.#unique(`constant_${this.initializers.length}`);
    this.initializers.push(encodeTensor(name, array));
    this.#constants.set(key, name);
    return name;
  }

  #unique(name: string): string {
    let candidate = name;
    for (let i = 1; this.#names.has(candidate); i++) candidate = `${name}_${i}`;
    this.#names.add(candidate);
    return candidate;
  }
}

/** Attributes as text, equal where they are. */
const described = (attributes: OnnxAttributes = {}): string[] =>
  Object.entries(attributes).map(
    ([name, value]) => `${name}=${typeof value === "object" && "float" in value ? value.float : value}`,
  );

/** Each not before it is read: a value that is there in blocks alone would be turned back for nobody. */
function lazily(tensors: readonly Tensor[], name: (x: Tensor) => string): readonly string[] {
  const names: string[] = [];
  for (const [i, tensor] of tensors.entries())
    Object.defineProperty(names, i, { get: () => name(tensor), enumerable: true });
  return names;
}

/** Whether a tensor can be in blocks at all: images in float32 whose channels fill whole ones. */
const fillsBlocks = (x: Tensor, block: number | undefined): boolean =>
  block !== undefined && x.rank === 4 && x.dtype === "float32" && x.dim(1) % block === 0 && x.size > 0;

/** Files are checked against the list, so that what is not in it could be run but not saved. */
function checkListed(
  { operation }: Node,
  type: string,
  inputs: number,
  outputs: number,
  attributes: readonly string[],
  domain: string | undefined,
): void {
  const operator = operatorHere(type, domain);
  const [fewest, most] = operator?.inputs ?? [];
  const isListed =
    operator &&
    inputs >= (fewest as number) &&
    inputs <= (most as number) &&
    outputs <= operator.outputs &&
    attributes.every((name) => Object.hasOwn(operator.attributes, name));
  if (!isListed)
    fail(
      "trace",
      `lowering of "${operation.name}" emits ${type} with ${inputs} inputs, ${outputs} outputs and [${attributes}], which src/compile/operators.ts does not list`,
    );
}

function leafName({ operation, outputs, attributes }: Node): string {
  if (operation.name === "input") return (attributes as InputAttributes).name;
  if (operation.name === "random") return `random.${(attributes as RandomAttributes).site}`;
  return (outputs[0] as Variable).name || "variable";
}

/**
 * A tensor is a lazy, immutable node of a graph: an operation, its inputs, its shape and dtype. Nothing is computed
 * when it is made; `await tensor.data()` compiles and runs what it needs. Shapes and dtypes are checked here and now,
 * so an error names the operation and the module that called it.
 */
import type { DType } from "./dtype.js";
import { fail, LayerwiseError } from "./errors.js";
import type { NDArray } from "./ndarray.js";
import { formatShape, type Shape, sizeOf } from "./shape.js";
import { currentPath } from "./trace.js";

export interface OutputSpec {
  readonly shape: Shape;
  readonly dtype: DType;
}

/** What a lowering may do: emit ONNX nodes and constants. Implemented by the compiler. */
export interface Lowering<Attributes = object> {
  readonly node: Node;
  readonly attributes: Attributes;
  /** Where the program will run: kernels differ, and some give wrong numbers without an error. */
  readonly target: Target;
  /** Whether it runs in this process alone, and may use operators that are in no file. */
  readonly here: boolean;
  /** Channels in a block of the engine's own layout for convolutions, where the program may use it. */
  readonly channelBlock: number | undefined;
  /** The value of input i in blocks where it is in them already; with `turn`, turned into blocks where it is not. */
  blocked(i: number, turn?: "turn"): string | undefined;
  /** Say that output i is this value, in blocks: who needs it otherwise turns it back. */
  bindBlocked(i: number, value: string): void;
  /** Names of the input values, one per input tensor. */
  readonly inputs: readonly string[];
  /** Emit `type(inputs)` writing the node's own outputs (the last node of every lowering). */
  emit(type: string, inputs: readonly string[], attributes?: OnnxAttributes, domain?: string): void;
  /** Emit an intermediate node and get the name of its value (of its k-th output, if several are asked for). */
  value(type: string, inputs: readonly string[], attributes?: OnnxAttributes, domain?: string): string;
  values(
    count: number,
    type: string,
    inputs: readonly string[],
    attributes?: OnnxAttributes,
    domain?: string,
  ): readonly string[];
  /** Whether output `i` is read by anything: an expensive one may be left out where it is not. */
  isUsed(i: number): boolean;
  /** Say which values are the node's outputs, where `emit` does not fit. */
  bind(...values: string[]): void;
  /** Say that the node's output is this one, made of its inputs by other operations. */
  compose(output: Tensor): void;
  constant(array: NDArray): string;
  /** A 1-d int64 constant, ONNX's way of passing shapes and axes. */
  integers(values: readonly number[]): string;
  scalar(value: number, dtype: DType): string;
  cast(value: string, to: DType): string;
  /** A cast that is the node's own output. */
  emitCast(value: string, to: DType): void;
}

/** Where the engine's own operators live, such as stand for several of ONNX's. */
export const contribDomain = "com.microsoft";
/** Where the engine's operators on its own layout for convolutions live. */
export const blockedDomain = "com.microsoft.nchwc";

export type Target = "cpu" | "webgpu" | "wasm";

export type OnnxAttributes = Record<string, number | string | readonly number[] | { float: number }>;

/**
 * One operation, defined once: what it gives (`infer`), its derivative (`gradient`), and how ONNX says it (`lower`).
 * `gradient` gets d(loss)/d(output) for each output (undefined where the loss does not depend on it) and returns
 * d(loss)/d(input) for each input (undefined where there is none), written with tensor operations.
 */
export interface Operation<Attributes = object> {
  readonly name: string;
  infer(inputs: readonly Tensor[], attributes: Attributes): OutputSpec | readonly OutputSpec[];
  gradient?(context: GradientContext<Attributes>): readonly (Tensor | undefined)[];
  lower(lowering: Lowering<Attributes>): void;
  /** Floating-point operations of one evaluation; default: one per output element. */
  flops?(node: Node): number;
  /** The scalar function of an elementwise operation: constant folding and the reference interpreter use it. */
  readonly scalar?: (...values: number[]) => number;
}

export interface GradientContext<Attributes = object> {
  readonly node: Node;
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  readonly attributes: Attributes;
  /** Gradients of the outputs; `gradient` is the first one, present whenever there is a single output. */
  readonly gradients: readonly (Tensor | undefined)[];
  readonly gradient: Tensor;
  /** Whether input `i` needs a gradient at all: skip the work when not. */
  needs(i: number): boolean;
}

export interface Node {
  readonly id: number;
  readonly operation: Operation;
  readonly inputs: readonly Tensor[];
  readonly attributes: object;
  readonly outputs: readonly Tensor[];
  /** Dotted path of the module that made it. */
  readonly path: string;
}

let nextId = 0;

export class Tensor {
  constructor(
    readonly node: Node,
    readonly index: number,
    readonly shape: Shape,
    readonly dtype: DType,
  ) {}

  get rank(): number {
    return this.shape.length;
  }

  get size(): number {
    return sizeOf(this.shape);
  }

  /** Length of `axis` (negative counts from the end). */
  dim(axis: number): number {
    return (
      this.shape.at(axis) ??
      fail("argument", `dim: axis ${axis} is outside a tensor of shape ${formatShape(this.shape)}`)
    );
  }

  /** Compile and run what this tensor needs, on the default backend. */
  async data(): Promise<NDArray> {
    return evaluator(this);
  }

  toString(): string {
    return `Tensor ${this.dtype}${formatShape(this.shape)} (${this.node.operation.name}${this.node.path ? ` at ${this.node.path}` : ""})`;
  }
}

/** Every operation by name: tests enforce that each has reference values. */
export const operations = new Map<string, Operation>();

/** Register an operation; gives the function that makes its node and returns its outputs. */
export function defineOperation<Attributes extends object>(
  operation: Operation<Attributes>,
): (inputs: readonly Tensor[], attributes: Attributes) => readonly Tensor[] {
  if (operations.has(operation.name)) fail("argument", `operation "${operation.name}" is defined twice`);
  const registered = operation as Operation;
  operations.set(operation.name, registered);
  return (inputs, attributes) => makeNode(registered, inputs, attributes);
}

/** The same for the common case of one output. */
export function defineSingle<Attributes extends object>(
  operation: Operation<Attributes>,
): (inputs: readonly Tensor[], attributes: Attributes) => Tensor {
  const make = defineOperation(operation);
  return (inputs, attributes) => make(inputs, attributes)[0] as Tensor;
}

export function makeNode(
  operation: Operation,
  inputs: readonly Tensor[],
  attributes: object,
  path = currentPath(),
): readonly Tensor[] {
  let specs: OutputSpec | readonly OutputSpec[];
  try {
    specs = operation.infer(inputs, attributes);
  } catch (error) {
    if (!(error instanceof LayerwiseError) || !path) throw error;
    throw new LayerwiseError(error.code, `at ${path}: ${error.message}`, { cause: error });
  }
  const outputs: Tensor[] = [];
  const node: Node = { id: nextId++, operation, inputs, attributes, outputs, path };
  for (const spec of Array.isArray(specs) ? (specs as readonly OutputSpec[]) : [specs as OutputSpec])
    outputs.push(new Tensor(node, outputs.length, spec.shape, spec.dtype));
  return outputs;
}

let evaluator: (tensor: Tensor) => Promise<NDArray> = () =>
  fail("backend", 'Tensor.data: no runtime is loaded; import from "layerwise" rather than from its inner files');

/** The runtime registers how a tensor is evaluated; tensors themselves know no engine. */
export function setEvaluator(evaluate: (tensor: Tensor) => Promise<NDArray>): void {
  evaluator = evaluate;
}

/** The methods that a table of functions `(self, ...rest) => result` gives to `Tensor`. */
export type MethodsOf<Table> = {
  [Name in keyof Table]: Table[Name] extends (self: Tensor, ...rest: infer Rest) => infer Result
    ? (...rest: Rest) => Result
    : never;
};

export function attachMethods(table: Record<string, (self: Tensor, ...rest: never[]) => unknown>): void {
  for (const [name, method] of Object.entries(table))
    Object.defineProperty(Tensor.prototype, name, {
      value(this: Tensor, ...rest: never[]) {
        return method(this, ...rest);
      },
      configurable: true,
      writable: true,
    });
}

/**
 * A model for inputs of any size, from a compiler that knows only fixed ones. The function is lowered for three sets of
 * example sizes, all different primes. Where the three graphs differ, it is in numbers such as the targets of reshapes;
 * each must be a multiple of a product of axes, which the first two examples find and the third confirms, and is then
 * computed in the graph from the shapes of the inputs.
 */
import { create, equals } from "@bufbuild/protobuf";
import { lower } from "../compile/lower.js";
import { encodeNode, encodeTensor, encodeValueInfo } from "../compile/onnx/encode.js";
import {
  type GraphProto,
  type ModelProto,
  type NodeProto,
  NodeProtoSchema,
  type TensorProto,
  TensorProto_DataType,
  TensorShapeProto_DimensionSchema,
  type ValueInfoProto,
} from "../compile/onnx/onnx_pb.js";
import { type DType, fail, NDArray, type Target, type Tensor, type Variable } from "../tensor/index.js";
import { type Outputs, traceProgram } from "./program.js";

export interface DynamicInput {
  readonly dtype: DType;
  /** Numbers are fixed; names are axes of any size, the same everywhere. */
  readonly shape: readonly (number | string)[];
}

export interface DynamicModel {
  readonly model: ModelProto;
  /** Variables that the model reads: inputs of it, to be given values. */
  readonly variables: ReadonlyMap<Variable, string>;
}

/** Axes that are sums of other axes: `{ total: ["past", "new"] }`. */
export type AxisSums = Readonly<Record<string, readonly string[]>>;

const primes = [11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79];
const examples = 3;

/** How long an axis can get: `{ length: 1024 }`. Needed where a table of numbers has a row for every place. */
export type LongestAxes = Readonly<Record<string, number>>;

/** Throws a "trace" error where something depends on a size in a way that no product of axes explains. */
export function dynamicModel(
  fn: (inputs: never) => Outputs,
  inputs: Readonly<Record<string, DynamicInput>>,
  sums: AxisSums = {},
  title = "model",
  longest: LongestAxes = {},
  target: Target = "cpu",
): DynamicModel {
  const sizes = exampleSizes(inputs, sums);
  const loweredAt = (size: Sizes) => {
    const feeds = Object.fromEntries(
      Object.entries(inputs).map(([name, { dtype, shape }]) => [
        name,
        { dtype, shape: shape.map((n) => (typeof n === "number" ? n : (size[n] as number))) },
      ]),
    );
    const { outputs, updates, results } = traceProgram(fn, feeds, true);
    if (updates.size > 0) fail("trace", "export: the function assigns variables; a model for inference must not");
    return lower(new Map(results.map((name) => [name, outputs.get(name) as Tensor])), title, target);
  };
  const lowered = sizes.map(loweredAt);
  const [first] = lowered as [(typeof lowered)[0]];
  if (first.random.length > 0) fail("trace", "export: the model draws random numbers; export it for inference");
  const graphs = lowered.map(({ model }) => model.graph as GraphProto);
  const longestTables = new Map<string, readonly TensorProto[]>();
  const tables: Tables = (axis) => {
    const n =
      longest[axis] ??
      fail(
        "trace",
        `export: a table has a row for every place of the axis "${axis}"; say how long it can get: longest: { ${axis}: 1024 }`,
      );
    const known = longestTables.get(axis);
    if (known) return known;
    const found = loweredAt({ ...(sizes[0] as Sizes), [axis]: n }).model.graph?.initializer ?? [];
    longestTables.set(axis, found);
    return found;
  };
  return { model: { ...first.model, graph: generalized(graphs, sizes, inputs, tables) }, variables: first.variables };
}

type Sizes = Readonly<Record<string, number>>;
/** The constants of the graph for the longest size of an axis. */
type Tables = (axis: string) => readonly TensorProto[];

function exampleSizes(inputs: Readonly<Record<string, DynamicInput>>, sums: AxisSums): Sizes[] {
  const names = new Set(Object.values(inputs).flatMap(({ shape }) => shape.filter((n) => typeof n === "string")));
  const free = [...names].filter((name) => !Object.hasOwn(sums, name));
  return Array.from({ length: examples }, (_, e) => {
    const own = Object.fromEntries(free.map((name, i) => [name, primes[e * free.length + i] as number]));
    const added = Object.entries(sums).map(([name, parts]) => [
      name,
      parts.reduce((total, part) => total + (own[part] as number), 0),
    ]);
    return { ...own, ...Object.fromEntries(added) };
  });
}

/** factor · Π axes. */
interface Term {
  readonly factor: number;
  readonly axes: readonly string[];
}

function generalized(
  graphs: readonly GraphProto[],
  sizes: readonly Sizes[],
  inputs: Readonly<Record<string, DynamicInput>>,
  tables: Tables,
): GraphProto {
  const [first] = graphs as [GraphProto];
  checkSameNodes(graphs as [GraphProto, ...GraphProto[]]);
  const terms = termFinder(sizes);
  const made = new SizeNodes(inputs);
  const initializer: TensorProto[] = [];
  for (const [i, tensor] of first.initializer.entries()) {
    const versions = graphs.map(({ initializer: own }) => own[i] as TensorProto);
    if (versions.every((version) => sameTensor(version, tensor))) initializer.push(tensor);
    else if (isBeginning(versions)) {
      const { axes } = terms(versions.map(({ dims }) => Number(dims[0])));
      const table = axes.length === 1 && tables(axes[0] as string).find((longer) => isBeginning([tensor, longer]));
      if (!table) fail("trace", `export: no longer table begins as the constant "${tensor.name}" does`);
      else initializer.push(made.beginning(tensor.name, table, axes[0] as string));
    } else made.constant(tensor.name, integersOf(versions).map(terms));
  }
  const rename = (list: readonly ValueInfoProto[][]): ValueInfoProto[] =>
    (list[0] as ValueInfoProto[]).map((info, i) => {
      const versions = list.map((own) => dimensions(own[i] as ValueInfoProto));
      return withDimensions(
        info,
        (versions[0] as number[]).map((n, axis) => {
          const values = versions.map((own) => own[axis] as number);
          return values.every((value) => value === n) ? n : nameOf(terms(values));
        }),
      );
    });
  return {
    ...first,
    node: [...made.nodes, ...first.node],
    initializer: [...initializer, ...made.initializers],
    input: rename(graphs.map(({ input }) => input)),
    output: rename(graphs.map(({ output }) => output)),
  };
}

/** An axis by its name; what is more than one is told by an expression, as exporters do. */
const nameOf = ({ factor, axes }: Term): string => [...(factor === 1 ? [] : [String(factor)]), ...axes].join(" * ");

function checkSameNodes([first, ...others]: readonly [GraphProto, ...GraphProto[]]): void {
  const same = (a: NodeProto, b: NodeProto | undefined) => b !== undefined && equals(NodeProtoSchema, a, b);
  for (const { node: nodes } of others) {
    const at = first.node.findIndex((node, i) => !same(node, nodes[i]));
    if (at >= 0 || first.node.length !== nodes.length)
      fail("trace", `export: "${first.node[at]?.name ?? "a node"}" is another operation for other sizes`);
  }
}

const sameTensor = (a: TensorProto, b: TensorProto): boolean =>
  a.dims.length === b.dims.length &&
  a.dims.every((n, i) => n === b.dims[i]) &&
  a.rawData.length === b.rawData.length &&
  a.rawData.every((byte, i) => byte === b.rawData[i]);

/** Whether a table is longer in some examples and the same as far as it goes: positions, angles. */
function isBeginning(versions: readonly TensorProto[]): boolean {
  const [shortest, ...others] = [...versions].sort((a, b) => a.rawData.length - b.rawData.length) as [TensorProto];
  const sameKind = ({ dataType, dims }: TensorProto) =>
    dataType === shortest.dataType &&
    dims.length === shortest.dims.length &&
    dims.every((n, axis) => axis === 0 || n === shortest.dims[axis]);
  const begins = ({ rawData }: TensorProto) => shortest.rawData.every((byte, i) => byte === rawData[i]);
  const grows = others.every(({ dims }) => (dims[0] ?? 0n) > (shortest.dims[0] ?? 0n));
  return shortest.dims.length > 0 && grows && others.every((other) => sameKind(other) && begins(other));
}

/** The entries of the same constant in all examples: one triple for each place. */
function integersOf(versions: readonly TensorProto[]): number[][] {
  const [tensor] = versions as [TensorProto];
  const isInteger = tensor.dataType === TensorProto_DataType.INT64 && tensor.dims.length === 1;
  if (!isInteger || versions.some(({ dims }) => dims[0] !== tensor.dims[0]))
    fail(
      "trace",
      `export: the constant "${tensor.name}" depends on the sizes of the inputs in a way that is not supported`,
    );
  const numbers = versions.map(({ rawData }) => {
    const bytes = rawData.slice(); // aligned
    return Array.from(new BigInt64Array(bytes.buffer, 0, bytes.length / 8), Number);
  });
  return (numbers[0] as number[]).map((_, i) => numbers.map((own) => own[i] as number));
}

/** Finds what three numbers are, from the sizes of three examples. */
function termFinder(sizes: readonly Sizes[]): (values: readonly number[]) => Term {
  const axes = Object.keys(sizes[0] as Sizes);
  const pairs = axes.flatMap((a, i) => axes.slice(i).map((b) => [a, b]));
  const products: readonly (readonly string[])[] = [[], ...axes.map((a) => [a]), ...pairs];
  return (values) => {
    for (const product of products) {
      const of = sizes.map((size) => product.reduce((total, axis) => total * (size[axis] as number), 1));
      const factor = (values[0] as number) / (of[0] as number);
      if (Number.isInteger(factor) && values.every((value, e) => value === factor * (of[e] as number)))
        return { factor, axes: product };
    }
    return fail(
      "trace",
      `export: a size is ${values.join(", ")} for three examples, which no product of axes explains`,
    );
  };
}

/** Nodes that compute sizes from the shapes of the inputs. */
class SizeNodes {
  readonly nodes: NodeProto[] = [];
  readonly initializers: TensorProto[] = [];
  readonly #known = new Map<string, string>();

  constructor(readonly inputs: Readonly<Record<string, DynamicInput>>) {}

  /** A vector of sizes under the name of the constant it stands for. */
  constant(name: string, terms: readonly Term[]): void {
    const parts = terms.map((term) => this.#term(term));
    this.nodes.push(encodeNode(`sizes/${name}`, "Concat", parts, [name], { axis: 0 }));
  }

  /** The first rows of a table, as many as an axis has places; gives the table. */
  beginning(name: string, table: TensorProto, axis: string): TensorProto {
    const from = `${name}/table`;
    const start = this.#number(0);
    this.nodes.push(encodeNode(`sizes/${name}`, "Slice", [from, start, this.#axis(axis), start], [name]));
    return { ...table, name: from };
  }

  #term({ factor, axes }: Term): string {
    const key = `sizes/${[factor, ...axes].join("*")}`;
    return this.#once(key, () => {
      if (axes.length === 0) return this.#number(factor);
      const product = axes.map((axis) => this.#axis(axis)).reduce((a, b) => this.#times(a, b));
      return factor === 1 ? product : this.#times(product, this.#number(factor));
    });
  }

  /** [size of an axis], from the first input that has it. */
  #axis(axis: string): string {
    return this.#once(`sizes/${axis}`, () => {
      const found = Object.entries(this.inputs).find(([, { shape }]) => shape.includes(axis));
      const [input, { shape }] = found ?? fail("trace", `export: no input has the axis "${axis}"`);
      const at = shape.indexOf(axis);
      const name = `sizes/${axis}`;
      this.nodes.push(encodeNode(name, "Shape", [input], [name], { start: at, end: at + 1 }));
      return name;
    });
  }

  #number(value: number): string {
    return this.#once(`sizes/number ${value}`, () => {
      const name = `sizes/number ${value}`;
      this.initializers.push(encodeTensor(name, NDArray.from([value], "int64")));
      return name;
    });
  }

  #times(a: string, b: string): string {
    const name = `${a} x ${b}`;
    return this.#once(name, () => {
      this.nodes.push(encodeNode(name, "Mul", [a, b], [name]));
      return name;
    });
  }

  #once(key: string, make: () => string): string {
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const name = make();
    this.#known.set(key, name);
    return name;
  }
}

function dimensions({ type }: ValueInfoProto): number[] {
  if (type?.value.case !== "tensorType") return [];
  return (type.value.value.shape?.dim ?? []).map(({ value }) => (value.case === "dimValue" ? Number(value.value) : 0));
}

function withDimensions(info: ValueInfoProto, dims: readonly (number | string)[]): ValueInfoProto {
  const copy = encodeValueInfo(info.name, "float32", []);
  if (info.type?.value.case !== "tensorType" || copy.type?.value.case !== "tensorType") return info;
  copy.type.value.value.elemType = info.type.value.value.elemType;
  if (copy.type.value.value.shape)
    copy.type.value.value.shape.dim = dims.map((n) =>
      create(TensorShapeProto_DimensionSchema, {
        value: typeof n === "number" ? { case: "dimValue", value: BigInt(n) } : { case: "dimParam", value: n },
      }),
    );
  return copy;
}

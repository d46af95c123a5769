/**
 * Programs as ONNX files. A file is whole: variables are inside, nodes have the names of modules, and it carries a
 * probe, inputs with the outputs they must give, so that whoever loads it knows that this engine computes it rightly.
 *
 * A file is never handed to the engine as it came: it is decoded here, checked (operations, shapes, sizes, nothing
 * outside the file) and encoded again.
 */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { opset } from "../compile/lower.js";
import { encodeTensor, onnxType } from "../compile/onnx/encode.js";
import {
  type GraphProto,
  type ModelProto,
  ModelProtoSchema,
  type NodeProto,
  StringStringEntryProtoSchema,
  type TensorProto,
  TensorProto_DataLocation,
  ValueInfoProtoSchema,
} from "../compile/onnx/onnx_pb.js";
import { operatorOf } from "../compile/operators.js";
import {
  bytesPerElement,
  type DType,
  dtypes,
  fail,
  LayerwiseError,
  NDArray,
  type RandomAttributes,
  type Shape,
  sizeOf,
  type TypedArray,
  Variable,
} from "../tensor/index.js";
import type { Backend, Session } from "./backend.js";
import { defaultBackend, getBackend } from "./backends.js";
import { type Feed, feedsOf, type Position, type Runnable, runSession, toArrays } from "./execute.js";
import type { CompileOptions, Executable } from "./program.js";

const key = "layerwise.program";
/** Values kept of each probed array; of larger ones an evenly spread sample. */
const sampleSize = 64;
/** Engines differ in the order of sums; a changed weight or operation shows far above this. */
const tolerance = 1e-3;
/** Bytes of inputs that a probe may take. */
const probeLimit = 8 * 2 ** 20;

interface Manifest {
  readonly inputs: Readonly<Record<string, string>>;
  readonly outputs: readonly string[];
  /** Variable's name in the model → name of its next value. */
  readonly updates: Readonly<Record<string, string>>;
  readonly random: readonly { readonly name: string; readonly attributes: RandomAttributes }[];
  readonly probe?: {
    readonly seed: number;
    readonly feeds: Readonly<Record<string, Encoded>>;
    readonly outputs: Readonly<Record<string, Sample>>;
    readonly nodes: Readonly<Record<string, Sample>>;
  };
}

interface Encoded {
  readonly dtype: DType;
  readonly shape: Shape;
  readonly values: readonly number[];
}

/** Evenly spread values of an array, and its root mean square as the scale to compare on. */
interface Sample {
  readonly values: readonly number[];
  readonly rms: number;
}

/** The program as an ONNX file. `feeds` become its probe; without them it has none. */
export async function encodeProgram(
  executable: Executable,
  feeds: Readonly<Record<string, NDArray>> | undefined,
  _position: Position,
): Promise<Uint8Array> {
  const { model, inputs, outputs, updates, variables, random } = executable;
  const names = new Map([...variables].map(([variable, name]) => [variable, name]));
  const kept = new Set([...updates.keys()].map((variable) => names.get(variable)));
  const initializers = await Promise.all(
    [...variables].map(async ([variable, name]) => encodeTensor(name, await variable.data())),
  );
  const readOnly = new Set([...variables.values()].filter((name) => !kept.has(name)));
  const manifest: Manifest = {
    inputs: Object.fromEntries(inputs),
    outputs: [...outputs],
    updates: Object.fromEntries(
      [...updates].flatMap(([variable, next]) => (names.has(variable) ? [[names.get(variable) as string, next]] : [])),
    ),
    random,
    ...(feeds && byteSize(feeds) <= probeLimit && { probe: await makeProbe(executable, feeds) }),
  };
  const graph = model.graph as GraphProto;
  const file: ModelProto = {
    ...model,
    producerVersion: "0.1.0",
    metadataProps: [create(StringStringEntryProtoSchema, { key, value: JSON.stringify(manifest) })],
    graph: {
      ...graph,
      initializer: [...graph.initializer, ...initializers],
      input: graph.input.filter(({ name }) => !readOnly.has(name)),
    },
  };
  return toBinary(ModelProtoSchema, file);
}

const byteSize = (feeds: Readonly<Record<string, NDArray>>): number =>
  Object.values(feeds).reduce((sum, { data }) => sum + data.byteLength, 0);

async function makeProbe(
  executable: Executable,
  feeds: Readonly<Record<string, NDArray>>,
): Promise<Required<Manifest>["probe"]> {
  const seed = 1;
  const { backend, model, outputs } = executable;
  const fed = await feedsOf(executable, feeds, { seed, step: 0 });
  const watched = watchable(model);
  const values = await runWatched(backend, model, fed, [...outputs, ...watched]);
  const pick = (list: readonly string[]) =>
    Object.fromEntries(list.map((name) => [name, sampleOf(values.get(name) as NDArray)]));
  return {
    seed,
    feeds: Object.fromEntries(
      Object.entries(feeds).map(([name, { dtype, shape, ...array }]) => [
        name,
        { dtype, shape, values: new NDArray(array.data, shape, dtype).toNumbers() },
      ]),
    ),
    outputs: pick(outputs),
    nodes: pick(watched),
  };
}

/** First outputs of nodes, in order: what tells where a wrong number began. */
const watchable = ({ graph }: ModelProto): string[] => {
  const own = new Set(graph?.output.map(({ name }) => name));
  return (graph?.node ?? []).flatMap(({ output: [first] }) => (first !== undefined && !own.has(first) ? [first] : []));
};

/** Run with values in between as extra outputs, unoptimised order or not: names are what counts. */
async function runWatched(
  backend: Backend,
  model: ModelProto,
  fed: Parameters<Session["run"]>[0],
  names: readonly string[],
): Promise<Map<string, NDArray>> {
  const graph = model.graph as GraphProto;
  const own = new Map(graph.output.map((output) => [output.name, output]));
  // Without a type: the engine infers it.
  const output = names.map((name) => own.get(name) ?? create(ValueInfoProtoSchema, { name }));
  const watching: ModelProto = { ...model, graph: { ...graph, output } };
  const session = await backend.createSession(toBinary(ModelProtoSchema, watching), { onDevice: [] });
  const results = await session.run(fed, names, new Map());
  const read = await Promise.all(names.map(async (name) => [name, await results.get(name)?.read()] as const));
  await session.release();
  return new Map(read.flatMap(([name, array]) => (array ? [[name, array]] : [])));
}

function sampleOf(array: NDArray): Sample {
  const count = Math.min(sampleSize, array.size);
  const values = Array.from({ length: count }, (_, i) => array.at(Math.floor((i * array.size) / count)));
  let sum = 0;
  for (let i = 0; i < array.size; i++) sum += array.at(i) ** 2;
  return { values, rms: Math.sqrt(sum / Math.max(1, array.size)) };
}

function differs(got: Sample, expected: Sample): boolean {
  const allowed = tolerance * Math.max(expected.rms, 1e-6);
  const apart = (a: number, b: number) =>
    !(Math.abs(a - b) <= allowed) && !Object.is(a, b) && !(Number.isNaN(a) && Number.isNaN(b)) && a !== b;
  return (
    apart(got.rms, expected.rms) ||
    got.values.length !== expected.values.length ||
    got.values.some((value, i) => apart(value, expected.values[i] as number))
  );
}

/** A program that came from a file. */
export interface LoadedProgram {
  (feeds: Readonly<Record<string, Feed>>): Promise<Readonly<Record<string, NDArray>>>;
  /** What it updates, by name: read with `.data()`, set with `.set()`. */
  readonly variables: ReadonlyMap<string, Variable>;
  readonly inputs: readonly string[];
  step: number;
  release(): Promise<void>;
}

/**
 * A program from the bytes of a file that `save` wrote. Throws a "file" error for a file that is broken, foreign or
 * reaches outside itself, and a "backend" error, naming the first node, where this engine does not give the probe's
 * numbers.
 */
export async function decodeProgram(
  bytes: Uint8Array,
  { backend: name, seed = 0, ...options }: CompileOptions = {},
  source = "program",
): Promise<LoadedProgram> {
  const { model, manifest } = checkedModel(bytes, source);
  const backend = await (name ? getBackend(name, options) : defaultBackend(options));
  const initial = new Map((model.graph?.initializer ?? []).map((tensor) => [tensor.name, tensor]));
  const variables = new Map(
    Object.keys(manifest.updates).map((own) => [
      own,
      new Variable(arrayOf(initial.get(own) ?? fail("file", `${source}: variable "${own}" has no value`), source), {
        name: own,
      }),
    ]),
  );
  const updates = new Map(
    Object.entries(manifest.updates).map(([own, next]) => [variables.get(own) as Variable, next]),
  );
  // Engines ignore what is fed for an input that has a value of its own, so updated variables lose theirs here.
  const graph = model.graph as GraphProto;
  const plain: ModelProto = {
    ...model,
    graph: { ...graph, initializer: graph.initializer.filter(({ name: own }) => !variables.has(own)) },
  };
  const encoded = toBinary(ModelProtoSchema, plain, { writeUnknownFields: false });
  const session = await backend.createSession(encoded, { onDevice: [...updates.values()] });
  const executable = {
    backend,
    session,
    inputs: new Map(Object.entries(manifest.inputs)),
    variables: new Map([...variables].map(([own, variable]) => [variable, own])),
    random: manifest.random,
    outputs: manifest.outputs,
    updates,
    observed: new Map<string, string>(),
  };
  await verifyProbe(executable, plain, manifest, source);
  const program = async (feeds: Readonly<Record<string, Feed>>) => {
    const results = await runSession(executable, toArrays(feeds), { seed, step: program.step }, () => true);
    program.step++;
    return results;
  };
  program.step = 0;
  return Object.assign(program, { variables, inputs: Object.keys(manifest.inputs), release: () => session.release() });
}

async function verifyProbe(
  executable: Runnable,
  model: ModelProto,
  { probe, outputs }: Manifest,
  source: string,
): Promise<void> {
  if (!probe) return;
  const feeds = Object.fromEntries(
    Object.entries(probe.feeds).map(([name, { dtype, shape, values }]) => [
      name,
      NDArray.from([...values], dtype, shape),
    ]),
  );
  const fed = await feedsOf(executable, feeds, { seed: probe.seed, step: 0 });
  const results = await executable.session.run(fed, [...outputs, ...executable.updates.values()], new Map());
  const wrong: string[] = [];
  for (const name of outputs)
    if (differs(sampleOf((await results.get(name)?.read()) as NDArray), probe.outputs[name] as Sample))
      wrong.push(name);
  if (wrong.length === 0) return;
  const names = Object.keys(probe.nodes);
  const values = await runWatched(executable.backend, model, fed, names);
  const broken = names.filter((name) => differs(sampleOf(values.get(name) as NDArray), probe.nodes[name] as Sample));
  // A node inside a module says more than the optimiser's, which may come before it.
  const first = broken.find((name) => name.includes("/")) ?? broken[0];
  const { name, description } = executable.backend;
  fail(
    "backend",
    `${source}: backend "${name}" (${description.engine} ${description.version}) does not give the numbers the file was saved with: output "${wrong[0]}" differs, first at node "${first ?? wrong[0]}"; the file was changed, or this engine computes that node wrongly`,
  );
}

/** Decoded and held against everything that may be wrong with it. */
function checkedModel(bytes: Uint8Array, source: string): { model: ModelProto; manifest: Manifest } {
  let model: ModelProto;
  try {
    model = fromBinary(ModelProtoSchema, bytes);
  } catch (cause) {
    return fail(
      "file",
      `${source}: not a whole ONNX file (${cause instanceof Error ? cause.message : String(cause)})`,
      { cause },
    );
  }
  const wrong = (what: string): never => fail("file", `${source}: ${what}`);
  const { graph, metadataProps, functions, opsetImport } = model;
  const text = metadataProps.find((entry) => entry.key === key)?.value;
  if (!graph || text === undefined)
    return wrong("this ONNX file was not saved by layerwise; save a program with program.save(path) and load that");
  if (functions.length > 0 || graph.sparseInitializer.length > 0)
    wrong("it holds functions or sparse values, which no program of ours has");
  for (const { domain, version } of opsetImport)
    if (!(domain === "" && version === BigInt(opset)) && domain !== "com.microsoft")
      wrong(`operation set "${domain}" ${version}; expected ${opset}`);
  const known = new Set<string>(graph.input.map(({ name }) => name));
  for (const tensor of graph.initializer) {
    arrayOf(tensor, source);
    known.add(tensor.name);
  }
  for (const node of graph.node) checkNode(node, known, wrong);
  for (const { name } of graph.output) if (!known.has(name)) wrong(`output "${name}" is made by no node`);
  return { model, manifest: parseManifest(text, known, wrong) };
}

function checkNode(
  { name, opType, domain, input, output, attribute }: NodeProto,
  known: Set<string>,
  wrong: (what: string) => never,
): void {
  if (!operatorOf(opType, domain))
    wrong(`node "${name}" is a ${domain || "ai.onnx"}.${opType}, which no program of ours has`);
  for (const { name: own, g, graphs } of attribute)
    if (g || graphs.length > 0) wrong(`node "${name}": attribute "${own}" holds a graph`);
  for (const value of input)
    if (value !== "" && !known.has(value)) wrong(`node "${name}" reads "${value}" before anything makes it`);
  for (const value of output) {
    if (value !== "" && known.has(value)) wrong(`"${value}" is made twice, the second time by node "${name}"`);
    known.add(value);
  }
}

function parseManifest(text: string, known: ReadonlySet<string>, wrong: (what: string) => never): Manifest {
  try {
    const manifest = JSON.parse(text) as Manifest;
    const names = [
      ...Object.values(manifest.inputs),
      ...Object.values(manifest.updates),
      ...manifest.outputs,
      ...manifest.random.map(({ name }) => name),
    ];
    const missing = names.find((name) => !known.has(name));
    return missing === undefined ? manifest : wrong(`its description names "${missing}", which the graph has not`);
  } catch (error) {
    if (error instanceof LayerwiseError) throw error;
    return wrong("its description is not what save writes");
  }
}

/** An initialiser as an array; its bytes must be what its shape says. */
function arrayOf({ name, dims, dataType, rawData, dataLocation, externalData }: TensorProto, source: string): NDArray {
  const shape = dims.map(Number);
  const dtype =
    dtypes.find((d) => onnxType[d] === dataType) ??
    fail("file", `${source}: value "${name}" has the unknown type ${dataType}`);
  if (externalData.length > 0 || dataLocation === TensorProto_DataLocation.EXTERNAL)
    fail("file", `${source}: value "${name}" lies outside the file; programs of ours are whole`);
  if (shape.some((n) => !Number.isSafeInteger(n) || n < 0) || sizeOf(shape) * bytesPerElement(dtype) !== rawData.length)
    fail("file", `${source}: value "${name}" is ${dtype}[${shape.join(", ")}] but has ${rawData.length} bytes`);
  const copy = new Uint8Array(rawData).buffer; // aligned, and apart from the file
  const arrays = {
    float32: Float32Array,
    float16: Uint16Array,
    float64: Float64Array,
    int32: Int32Array,
    int64: BigInt64Array,
    bool: Uint8Array,
    int8: Int8Array,
    uint8: Uint8Array,
  };
  return new NDArray(new arrays[dtype](copy) as TypedArray, shape, dtype);
}

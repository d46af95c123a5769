/** Values inside an ONNX model for some inputs. */
import { type CompileOptions, getBackend } from "../runtime/index.js";
import {
  type DeviceArray,
  type DType,
  fail,
  formatShape,
  isFloat,
  LayerwiseError,
  NDArray,
  philoxNormal,
  philoxUniform,
  sizeOf,
} from "../tensor/index.js";
import { nearest } from "../tensor/nearest.js";
import type { Finding } from "./inspect-model.js";
import { checkWhole, dtypeOf, storedValue } from "./onnx-values.js";
import {
  encodeOnnx,
  isReadable,
  matchingValues,
  type OnnxModel,
  type OnnxValue,
  onnxValues,
  tapped,
} from "./tap-onnx.js";

export interface OnnxInputOptions {
  /** Values of inputs by name; the others are drawn. */
  readonly inputs?: ReadonlyMap<string, NDArray>;
  /**
   * Sizes of axes that the file names (default 1 each). Of decoders as transformers.js loads them, `past_sequence_length`
   * is 0 and `total_sequence_length` the sum of `past_sequence_length` and `sequence_length` where they are not given.
   */
  readonly dims?: Readonly<Record<string, number>>;
  /** Of drawn inputs (default 0). */
  readonly seed?: number;
}

export interface OnnxInput {
  readonly name: string;
  readonly value: NDArray;
  /** How it came about: "given", "normal", "uniform in 0..99", … */
  readonly origin: string;
}

/** No input that is drawn holds more numbers. */
const mostDrawn = 2 ** 28;

/**
 * What a model is run on: given arrays as they are; the others as the file declares them, floats from N(0, 1), booleans
 * true, integers uniform below the rows of the table they look up, or 0 or 1 where they look up none; an
 * `attention_mask` of integers shows all.
 *
 * @throws LayerwiseError "argument" for inputs and axes that the model has not, "dtype" for types that no array has.
 */
export function onnxInputs(model: OnnxModel, options: OnnxInputOptions = {}, source = "model"): OnnxInput[] {
  const { inputs = new Map<string, NDArray>(), dims = {}, seed = 0 } = options;
  const declared = onnxValues(model, source).filter(({ kind }) => kind === "input");
  refuseUnknown(
    [...inputs.keys()],
    declared.map(({ name }) => name),
    `${source}: no input is called`,
  );
  const axes = axisNames(declared);
  refuseUnknown(Object.keys(dims), axes, `${source}: no axis of an input is called`);
  const sizes = withDefaults(dims);
  return declared.map((info) => {
    const { name } = info;
    const given = inputs.get(name);
    if (given) return { name, value: given, origin: "given" };
    const dtype = [...dtypeOf.values()].find((known) => known === info.dtype);
    if (!dtype || !info.shape)
      return fail(
        "dtype",
        `${source}: input "${name}" is ${info.dtype ?? "undeclared"}, which cannot be drawn; give it`,
      );
    const shape = info.shape.map((n, axis) =>
      typeof n === "number" ? n : sizeNamed(n, sizes, `${source}: input "${name}", axis ${axis}`),
    );
    if (shape.some((n) => !Number.isSafeInteger(n) || n < 0) || !(sizeOf(shape) <= mostDrawn))
      fail(
        "argument",
        `${source}: input "${name}" has the shape ${formatShape(shape)}, which cannot be drawn; give it`,
      );
    if (name === "attention_mask" && !isFloat(dtype))
      return { name, value: NDArray.from(new Uint8Array(sizeOf(shape)).fill(1), dtype, shape), origin: "1 everywhere" };
    return { name, ...drawn(dtype, shape, { seed, site: `onnx.${name}` }, rowsLookedUp(model, name)) };
  });
}

function withDefaults(dims: Readonly<Record<string, number>>): Readonly<Record<string, number>> {
  const { past_sequence_length = 0, sequence_length = 1 } = dims;
  return { past_sequence_length, total_sequence_length: past_sequence_length + sequence_length, ...dims };
}

/** Named axes of the inputs: "2 * a + b" holds a and b. */
export const axisNames = (values: readonly OnnxValue[]): string[] =>
  [
    ...new Set(
      values.flatMap(({ shape = [] }) =>
        shape.flatMap((n) => (typeof n === "string" ? n.split(/[+*]/).map((part) => part.trim()) : [])),
      ),
    ),
  ].filter((name) => !/^(\d+|\?)?$/.test(name));

function sizeNamed(text: string, dims: Readonly<Record<string, number>>, where: string): number {
  const size = text
    .split("+")
    .map((term) => term.split("*").map((part) => part.trim()))
    .map((term) => term.reduce((n, part) => n * (/^\d+$/.test(part) ? Number(part) : (dims[part] ?? 1)), 1))
    .reduce((a, b) => a + b, 0);
  return Number.isSafeInteger(size) ? size : fail("argument", `${where}: ${text} is ${size}`);
}

function refuseUnknown(names: readonly string[], known: readonly string[], what: string): void {
  for (const name of names)
    if (!known.includes(name)) {
      const guess = nearest(name, known);
      const hint = guess === undefined ? `; it has ${known.join(", ") || "none"}` : `; did you mean "${guess}"?`;
      fail("argument", `${what} "${name}"${hint}`);
    }
}

function drawn(
  dtype: DType,
  shape: readonly number[],
  stream: { readonly seed: number; readonly site: string },
  rows: number | undefined,
): Pick<OnnxInput, "value" | "origin"> {
  const size = sizeOf(shape);
  if (dtype === "bool") return { value: NDArray.from(new Uint8Array(size).fill(1), dtype, shape), origin: "true" };
  if (isFloat(dtype))
    return { value: NDArray.from(philoxNormal(stream, size), dtype, shape), origin: "drawn from N(0, 1)" };
  const end = rows ?? 2;
  const values = Array.from(philoxUniform(stream, size), (u) => Math.floor(u * end));
  return { value: NDArray.from(values, dtype, shape), origin: `drawn from 0..${end - 1}` };
}

/** Rows of the table that an input looks up, straight or after a cast. */
function rowsLookedUp({ graph }: OnnxModel, input: string): number | undefined {
  const tables = new Map(graph.initializer.map(({ name, dims }) => [name, dims]));
  const same = new Set([input]);
  for (const { opType, input: read, output, attribute } of graph.node) {
    if (["Cast", "Identity"].includes(opType) && same.has(read[0] ?? "")) same.add(output[0] ?? "");
    if (opType !== "Gather" || !same.has(read[1] ?? "")) continue;
    const axis = Number(attribute.find(({ name }) => name === "axis")?.i ?? 0n);
    const rows = tables.get(read[0] ?? "")?.[axis];
    if (rows !== undefined && rows > 0n) return Number(rows);
  }
  return undefined;
}

/**
 * The values that queries name (see `matchingValues`) when the model runs on `inputs`; initialisers are read from the
 * file. Values that lie outside the file must have been read in.
 *
 * @throws LayerwiseError "argument" where a query matches nothing, "dtype" where it names no more than values that no
 * array holds, "backend" where the engine refuses the model, its message naming the file.
 */
export async function inspectOnnx(
  model: OnnxModel,
  queries: readonly string[],
  inputs: readonly OnnxInput[],
  options: CompileOptions = {},
  source = "model",
): Promise<Finding[]> {
  const values = onnxValues(model, source);
  const wanted = new Map(queries.flatMap((query) => matchingValues(values, query)).map((value) => [value.name, value]));
  const readable = [...wanted.values()].filter(isReadable);
  const [first] = wanted.values();
  if (readable.length === 0 && first)
    fail("dtype", `${source}: "${first.name}" is ${first.dtype}, which no array here can hold`);
  const computed = readable.filter(({ kind }) => kind === "node").map(({ name }) => name);
  const results = computed.length > 0 ? await runOnnx(model, computed, inputs, options, source) : undefined;
  const stored = new Map(model.graph.initializer.map((tensor) => [tensor.name, tensor]));
  const fed = new Map(inputs.map(({ name, value }) => [name, value]));
  return readable.map(({ name, kind }) => {
    const tensor = stored.get(name);
    if (kind === "initializer" && tensor) return { name, kind: "parameter", value: storedValue(tensor, source) };
    return kind === "input"
      ? { name, kind, value: fed.get(name) as NDArray }
      : { name, kind: "output", value: results?.get(name) as NDArray };
  });
}

/** Values by name when the model runs on `inputs`: outputs, and what nodes give. */
export async function runOnnx(
  model: OnnxModel,
  names: readonly string[],
  inputs: readonly OnnxInput[],
  { backend: name, ...options }: CompileOptions,
  source: string,
): Promise<Map<string, NDArray>> {
  checkWhole(model, source);
  const backend = await getBackend(name, options);
  const bytes = encodeOnnx(tapped(model, names, source));
  const session = await inFile(source, () => backend.createSession(bytes, { onDevice: [], asIs: true }));
  try {
    const feeds = new Map(inputs.map(({ name: input, value }) => [input, backend.upload(value)]));
    const results = await inFile(source, () => session.run(feeds, names, new Map()));
    const read = async ([key, array]: readonly [string, DeviceArray]) =>
      [key, await inFile(`${source}: "${key}"`, () => array.read())] as const;
    return new Map(await Promise.all(Array.from(results, read)));
  } finally {
    await session.release();
  }
}

async function inFile<T>(source: string, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (cause) {
    const code = cause instanceof LayerwiseError ? cause.code : "backend";
    return fail(code, `${source}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
}

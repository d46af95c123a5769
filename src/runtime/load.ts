/**
 * Programs from ONNX files. A file is never handed to the engine as it came: it is decoded here, checked (operations,
 * shapes, sizes, nothing outside the file), built anew from what was checked, and believed when its probe comes out.
 */

import { toBinary } from "@bufbuild/protobuf";
import { files } from "#host";
import { decodeModel } from "../compile/onnx/decode.js";
import { type GraphProto, type ModelProto, ModelProtoSchema } from "../compile/onnx/onnx_pb.js";
import { type Rebuilt, rebuild } from "../compile/onnx/rebuild.js";
import {
  type DType,
  fail,
  formatShape,
  LayerwiseError,
  type NDArray,
  type Shape,
  sameShape,
  Variable,
} from "../tensor/index.js";
import { getBackend } from "./backends.js";
import { type Arrays, type Feed, inTurn, keptOnDevice, runSession, toArrays } from "./execute.js";
import { runProbe } from "./file-probe.js";
import { type Manifest, manifestKey, parseManifest } from "./manifest.js";
import type { CompileOptions, Outputs, Results } from "./program.js";
import { type Checksums, checksumsOf, encodeProgram, type Savable } from "./saved.js";

export type LoadOptions = Pick<CompileOptions, "backend" | "threads" | "seed" | "commit">;

/** A program that came from a file: it takes the shapes it was saved with. */
export interface LoadedProgram {
  (feeds: Readonly<Record<string, Feed>>): Promise<Results<Outputs>>;
  /** What it updates, by name: read with `.data()`, set with `.set()`. Gone after `release`. */
  readonly variables: ReadonlyMap<string, Variable>;
  readonly inputs: ReadonlyMap<string, { readonly shape: Shape; readonly dtype: DType }>;
  readonly outputs: readonly string[];
  /** Runs so far, counted on from the program that was saved. */
  step: number;
  /** As a file again, with the values its variables have now; `feeds` (default: the last ones) become its probe. */
  encode(feeds?: Readonly<Record<string, Feed>>): Promise<Uint8Array>;
  save(path: string, feeds?: Readonly<Record<string, Feed>>): Promise<void>;
  release(): Promise<void>;
}

/** A program from a file that `save` wrote (Node only; pages have `decodeProgram`). Throws as it. */
export async function load(path: string, options: LoadOptions = {}): Promise<LoadedProgram> {
  if (!files) return fail("file", "load: this host has no files; fetch the bytes and use decodeProgram");
  return decodeProgram(await files.read(path), options, path);
}

/**
 * A program from the bytes of a file that `save` wrote; it goes on where that one stood. Throws a "file" error for a
 * file that is broken, foreign or was changed, and a "backend" error where this engine does not give the probe's
 * numbers; both name the first value or node that is wrong.
 */
export async function decodeProgram(
  bytes: Uint8Array,
  { backend: name, seed, commit = () => true, ...options }: LoadOptions = {},
  source = "program",
): Promise<LoadedProgram> {
  const { rebuilt, manifest, isChanged } = read(bytes, source);
  const backend = await getBackend(name, options);
  const variables = new Map(
    Array.from(manifest.updates.keys(), (own) => [
      own,
      new Variable(rebuilt.arrays.get(own) as NDArray, { name: own }),
    ]),
  );
  // Engines ignore what is fed for an input that has a value of its own, so updated variables lose theirs here.
  const graph = rebuilt.model.graph as GraphProto;
  const model: ModelProto = {
    ...rebuilt.model,
    graph: { ...graph, initializer: graph.initializer.filter(({ name: own }) => !variables.has(own)) },
  };
  const updates = new Map(Array.from(manifest.updates, ([own, next]) => [variables.get(own) as Variable, next]));
  const session = await backend.createSession(toBinary(ModelProtoSchema, model), {
    onDevice: keptOnDevice(updates, backend),
  });
  const program: Savable = {
    backend,
    session,
    model,
    inputs: manifest.inputs,
    variables: new Map(Array.from(variables, ([own, variable]) => [variable, own])),
    random: manifest.random,
    outputs: manifest.outputs,
    updates,
    observed: manifest.observed,
  };
  const release = async () => {
    await inTurn(async () => {});
    await session.release();
    for (const variable of variables.values()) variable.release();
  };
  try {
    await inTurn(() => believe(program, { ...rebuilt, model }, manifest, isChanged, source));
  } catch (error) {
    await release();
    throw error;
  }
  return callable(program, rebuilt, manifest, { seed: seed ?? manifest.seed, commit, variables, release });
}

function callable(
  program: Savable,
  { values }: Rebuilt,
  { step, inputs: names }: Manifest,
  own: Required<Pick<LoadOptions, "seed" | "commit">> & Pick<LoadedProgram, "variables" | "release">,
): LoadedProgram {
  const { seed, commit, variables, release } = own;
  const inputs = new Map(
    Array.from(names, ([name, inner]) => {
      const { shape, dtype } = values.get(inner) as { shape: Shape; dtype: DType };
      return [name, { shape, dtype }];
    }),
  );
  let last: Arrays | undefined;
  const fitting = (feeds: Readonly<Record<string, Feed>>): Arrays => {
    const arrays = toArrays(feeds);
    for (const [name, { shape, dtype }] of inputs) {
      const given = Object.hasOwn(arrays, name) ? arrays[name] : undefined;
      if (!given) return fail("argument", `program: input "${name}" is missing`);
      if (given.dtype !== dtype || !sameShape(given.shape, shape))
        fail(
          "shape",
          `program: input "${name}" is ${given.dtype}${formatShape(given.shape)}; the file was saved for ${dtype}${formatShape(shape)}`,
        );
    }
    last = arrays;
    return arrays;
  };
  const run = (feeds: Readonly<Record<string, Feed>>) =>
    inTurn(async () => {
      const results = await runSession(program, fitting(feeds), { seed, step: run.step }, commit);
      run.step++;
      return results as Results<Outputs>;
    });
  run.step = step;
  const encode = (feeds?: Readonly<Record<string, Feed>>) =>
    inTurn(async () => {
      const chosen = feeds ? fitting(feeds) : last;
      if (!chosen) return fail("argument", "program: run it once, or give inputs, so that the file has a probe");
      return encodeProgram(program, chosen, { seed, step: run.step });
    });
  const save = async (path: string, feeds?: Readonly<Record<string, Feed>>) =>
    files ? files.write(path, await encode(feeds)) : fail("file", "save: this host has no files; use encode");
  return Object.assign(run, { variables, inputs, outputs: program.outputs, encode, save, release });
}

/** Decoded, held against everything that may be wrong with it, and built anew. */
function read(bytes: Uint8Array, source: string): { rebuilt: Rebuilt; manifest: Manifest; isChanged: boolean } {
  const model = decodeModel(bytes, source);
  const text = model.metadataProps.find(({ key }) => key === manifestKey)?.value;
  if (!model.graph || text === undefined)
    return fail(
      "file",
      `${source}: this ONNX file was not saved by layerwise; save a program with program.save(path) and load that`,
    );
  const rebuilt = rebuild(model, source);
  try {
    const manifest = parseManifest(text);
    checkNames(manifest, rebuilt);
    const found = checksumsOf(rebuilt);
    checkValues(manifest, found);
    return { rebuilt, manifest, isChanged: found.graphChecksum !== manifest.graphChecksum };
  } catch (error) {
    if (!(error instanceof LayerwiseError)) throw error;
    return fail("file", `${source}: ${error.message}`, { cause: error });
  }
}

/** What the description names must be in the graph, and what the graph asks for must be described. */
function checkNames(
  { inputs, outputs, observed, updates, random, probe }: Manifest,
  { model, arrays, values }: Rebuilt,
): void {
  const graph = model.graph as GraphProto;
  const refuse = (what: string): never => fail("file", `its description ${what}`);
  const given = new Set(graph.output.map(({ name }) => name));
  for (const name of [...outputs, ...observed.values(), ...updates.values()])
    if (!given.has(name)) refuse(`names the output "${name}", which the graph has not`);
  const fed = new Map<string, { readonly shape?: Shape; readonly dtype?: DType }>();
  for (const [name, inner] of inputs) {
    const feed = probe.feeds.get(name) ?? refuse(`has no probe for input "${name}"`);
    fed.set(inner, feed);
  }
  for (const { name, attributes } of random) fed.set(name, { shape: attributes.shape, dtype: "float32" });
  for (const [name, next] of updates) {
    const value = arrays.get(name) ?? refuse(`updates "${name}", which has no value`);
    const made = values.get(next);
    if (made?.dtype !== value.dtype || !sameShape(made.shape, value.shape))
      refuse(`updates "${name}" by "${next}", which has another shape or type`);
    fed.set(name, value);
  }
  const asked = new Set(graph.input.map(({ name }) => name));
  for (const [name, { shape, dtype }] of fed) {
    const known = values.get(name);
    if (!asked.has(name)) refuse(`names the input "${name}", which the graph has not`);
    if (known?.dtype !== dtype || !sameShape(known?.shape ?? [], shape as Shape))
      refuse(`gives input "${name}" another shape or type than the graph`);
  }
  for (const name of asked) if (!fed.has(name)) refuse(`says nothing of the graph's input "${name}"`);
}

function checkValues({ checksums }: Manifest, found: Checksums): void {
  for (const [name, sum] of found.checksums)
    if (checksums.get(name) !== sum) fail("file", `value "${name}" was changed after it was saved`);
}

/** Throws unless file and engine give what was saved. */
async function believe(
  program: Savable,
  rebuilt: Rebuilt,
  { probe }: Manifest,
  isChanged: boolean,
  source: string,
): Promise<void> {
  const mismatch = await runProbe(program, rebuilt, probe, isChanged).catch((error: unknown) => {
    if (!(error instanceof LayerwiseError)) throw error;
    return fail(error.code, `${source}: ${error.message}`, { cause: error });
  });
  const where = mismatch?.node === undefined ? "" : `; the first wrong node is "${mismatch.node}"`;
  if (isChanged) fail("file", `${source}: its graph was changed after it was saved${where}`);
  if (!mismatch) return;
  const { name, description } = program.backend;
  fail(
    "backend",
    `${source}: backend "${name}" (${description.engine} ${description.version}) does not give the numbers of the engine that saved it: "${mismatch.value}" differs${where || "; every node by itself is right, so it is the engine's fusion of nodes that is wrong"}. Use another backend or another version of the engine`,
  );
}

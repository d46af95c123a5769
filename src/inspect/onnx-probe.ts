/**
 * The probe inside an exported ONNX file: small inputs, the outputs they must give, two numbers for every node, and a
 * checksum of every weight, as JSON in the file's metadata, where other programs pass it by. Whoever has the file can tell
 * whether it is whole, and whether an engine computes it rightly; where not, which weight or node is wrong.
 */
import { create, toBinary } from "@bufbuild/protobuf";
import * as z from "zod";
import { type GraphProto, GraphProtoSchema, StringStringEntryProtoSchema } from "../compile/onnx/onnx_pb.js";
import { checksum } from "../runtime/checksum.js";
import { type CompileOptions, getBackend } from "../runtime/index.js";
import { dtypes, fail, NDArray } from "../tensor/index.js";
import { type OnnxInput, runOnnx } from "./inspect-onnx.js";
import { isReadable, type OnnxModel, onnxValues } from "./tap-onnx.js";

export const probeKey = "layerwise.probe";

const probeSchema = z.strictObject({
  engine: z.string(),
  inputs: z.record(
    z.string(),
    z.strictObject({
      dtype: z.enum(dtypes as unknown as readonly [string, ...string[]]),
      shape: z.array(z.number().int().nonnegative().max(1e6)).max(8),
      values: z.array(z.number()).max(1e6),
    }),
  ),
  outputs: z.record(z.string(), z.strictObject({ values: z.array(z.number()), rms: z.number() })),
  /** Largest error allowed: of outputs and of nodes, as a share of their root mean square. */
  tolerance: z.number().positive(),
  nodes: z.array(z.tuple([z.string(), z.number(), z.number()])),
  weights: z.record(z.string(), z.number()),
  graph: z.number(),
});
type Probe = z.infer<typeof probeSchema>;

/** Values kept of an output; of larger ones an evenly spread sample. */
const sampleSize = 64;
/** Below this everything is rounding. */
const floor = 1e-6;

/** A copy of a whole model with a probe of these inputs, from what this machine's engine gives for them. */
export async function withProbe(
  model: OnnxModel,
  inputs: readonly OnnxInput[],
  tolerance: number,
  options: CompileOptions = {},
): Promise<OnnxModel> {
  const { engine, version } = (await getBackend(options.backend, options)).description;
  const outputs = await runOnnx(model, outputNames(model), inputs, options, "export");
  const nodes = await runOnnx(model, probedNodes(model), inputs, options, "export");
  const probe: Probe = {
    engine: `${engine} ${version}`,
    inputs: Object.fromEntries(
      inputs.map(({ name, value }) => [
        name,
        { dtype: value.dtype, shape: [...value.shape], values: value.toNumbers() },
      ]),
    ),
    outputs: Object.fromEntries(
      Array.from(outputs, ([name, value]) => [name, { values: sample(value), rms: moments(value).rms }]),
    ),
    tolerance,
    nodes: Array.from(nodes, ([name, value]): [string, number, number] => {
      const { mean, rms } = moments(value);
      return [name, mean, rms];
    }),
    ...sums(model),
  };
  const entry = create(StringStringEntryProtoSchema, { key: probeKey, value: JSON.stringify(probe) });
  return { ...model, metadataProps: [...model.metadataProps.filter(({ key }) => key !== probeKey), entry] };
}

export interface OnnxVerification {
  readonly isRight: boolean;
  /** Largest error of an output over its root mean square, and what is allowed. */
  readonly error: number;
  readonly tolerance: number;
  /** Weights whose bytes are not those that were written. */
  readonly changedWeights: readonly string[];
  readonly isGraphChanged: boolean;
  /** The first node that gives other numbers; none where every node by itself is right. */
  readonly firstWrongNode: string | undefined;
  /** What is wrong and what to do, as a sentence; empty where nothing is. */
  readonly problem: string;
}

/**
 * Hold a model with a probe against it, on this engine. Values that lie outside the file must have been read in.
 *
 * @throws LayerwiseError "file" for a model without a probe, or with a broken one; "backend" where the engine refuses it.
 */
export async function verifyOnnx(
  model: OnnxModel,
  options: CompileOptions = {},
  source = "model",
): Promise<OnnxVerification> {
  const probe = probeOf(model, source);
  const found = sums(model);
  const names = new Set([...Object.keys(probe.weights), ...Object.keys(found.weights)]);
  const changedWeights = [...names].filter((name) => probe.weights[name] !== found.weights[name]);
  const isGraphChanged = found.graph !== probe.graph;
  const inputs = Object.entries(probe.inputs).map(([name, { dtype, shape, values }]) => ({
    name,
    value: NDArray.from(values, dtype as NDArray["dtype"], shape),
    origin: "probe",
  }));
  const outputs = await runOnnx(model, outputNames(model), inputs, options, source);
  const error = Math.max(
    0,
    ...Object.entries(probe.outputs).map(([name, expected]) => errorOf(outputs.get(name), expected)),
  );
  const isRight = changedWeights.length === 0 && !isGraphChanged && error <= probe.tolerance;
  const firstWrongNode = isRight ? undefined : await firstWrong(model, probe, inputs, options, source);
  const report = { isRight, error, tolerance: probe.tolerance, changedWeights, isGraphChanged, firstWrongNode };
  return { ...report, problem: isRight ? "" : await problemOf(report, probe, options, source) };
}

function probeOf(model: OnnxModel, source: string): Probe {
  const text = model.metadataProps.find(({ key }) => key === probeKey)?.value;
  if (text === undefined)
    return fail("file", `${source}: this ONNX file carries no probe; export the model again with layerwise to get one`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    return fail("file", `${source}: its probe is not JSON`, { cause });
  }
  const { data, error } = probeSchema.safeParse(value);
  return (
    data ??
    fail("file", `${source}: its probe is broken at ${error?.issues[0]?.path.join(".")}: ${error?.issues[0]?.message}`)
  );
}

async function firstWrong(
  model: OnnxModel,
  { nodes, tolerance }: Probe,
  inputs: readonly OnnxInput[],
  options: CompileOptions,
  source: string,
): Promise<string | undefined> {
  const present = new Set(onnxValues(model, source).map(({ name }) => name));
  const missing = nodes.find(([name]) => !present.has(name));
  const known = nodes.filter(([name]) => present.has(name));
  const values = await runOnnx(
    model,
    known.map(([name]) => name),
    inputs,
    options,
    source,
  );
  const wrong = known.find(([name, mean, rms]) => {
    const got = moments(values.get(name) as NDArray);
    const allowed = Math.max(tolerance * rms, floor);
    return !(Math.abs(got.mean - mean) <= allowed && Math.abs(got.rms - rms) <= allowed);
  });
  return wrong?.[0] ?? missing?.[0];
}

type Found = Omit<OnnxVerification, "problem">;

async function problemOf(
  { changedWeights, isGraphChanged, firstWrongNode, error, tolerance }: Found,
  probe: Probe,
  options: CompileOptions,
  source: string,
): Promise<string> {
  const where = firstWrongNode === undefined ? "" : `; the first node that gives other numbers is "${firstWrongNode}"`;
  if (changedWeights.length > 0) {
    const more = changedWeights.length > 3 ? ` and ${changedWeights.length - 3} more` : "";
    return `${source}: ${changedWeights.slice(0, 3).join(", ")}${more} changed after the export${where}; copy or export the file again`;
  }
  if (isGraphChanged) return `${source}: its graph was changed after the export${where}; export it again`;
  const { name, description } = await getBackend(options.backend, options);
  return `${source}: backend "${name}" (${description.engine} ${description.version}) is off by ${error.toPrecision(2)} of an output's size, ${tolerance} is allowed (written by ${probe.engine})${where || "; every node by itself is right, so it is the engine's fusion of nodes that is wrong"}; use another backend or version of the engine`;
}

const outputNames = ({ graph }: OnnxModel): string[] => graph.output.map(({ name }) => name);

/** Floats that nodes give; not what only computes sizes. */
function probedNodes(model: OnnxModel): string[] {
  const shapes = new Set(["Shape", "Size", "Constant"]);
  return onnxValues(model, "export")
    .filter((value) => value.kind === "node" && isReadable(value) && !shapes.has(value.operator))
    .map(({ name }) => name);
}

function sums({ graph }: OnnxModel): Pick<Probe, "weights" | "graph"> {
  const bare: GraphProto = { ...graph, initializer: [] };
  return {
    weights: Object.fromEntries(graph.initializer.map(({ name, rawData }) => [name, checksum(rawData)])),
    graph: checksum(toBinary(GraphProtoSchema, bare)),
  };
}

function sample(array: NDArray): number[] {
  const count = Math.min(sampleSize, array.size);
  return Array.from({ length: count }, (_, i) => brief(array.at(Math.floor((i * array.size) / count))));
}

function moments(array: NDArray): { mean: number; rms: number } {
  let [sum, squares] = [0, 0];
  for (let i = 0; i < array.size; i++) {
    const value = array.at(i);
    if (!Number.isFinite(value)) continue; // masks hold -Infinity
    sum += value;
    squares += value * value;
  }
  const n = Math.max(1, array.size);
  return { mean: brief(sum / n), rms: brief(Math.sqrt(squares / n)) };
}

const brief = (x: number): number => (Number.isFinite(x) ? Number(x.toPrecision(9)) : 0);

function errorOf(got: NDArray | undefined, { values, rms }: Probe["outputs"][string]): number {
  if (!got) return Number.POSITIVE_INFINITY;
  const own = sample(got);
  const scale = Math.max(rms, floor);
  const apart = values.map((v, i) => Math.abs(v - (own[i] ?? Number.NaN)) / scale);
  const worst = Math.max(0, ...apart, Math.abs(moments(got).rms - rms) / scale);
  return Number.isNaN(worst) || own.length !== values.length ? Number.POSITIVE_INFINITY : worst;
}

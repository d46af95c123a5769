/**
 * Any model of ours as one ONNX file: named inputs and outputs, axes of any size by name, weights inside or next to it, and
 * a probe (see inspect/onnx-probe.ts).
 *
 *   const exported = await exportOnnx(model, { image: { dtype: "float32", shape: ["batch", 3, 32, 32] } });
 *   await writeOnnx(exported, "model.onnx");
 */
import type { GraphProto, TensorProto } from "../compile/onnx/onnx_pb.js";
import { type WeightType, withWeights } from "../compile/quantized-weights.js";
import { type OnnxInputOptions, type OnnxModel, onnxInputs, withProbe } from "../inspect/index.js";
import { bake, clone, Module, warn } from "../nn/index.js";
import {
  type AxisSums,
  type DynamicInput,
  type DynamicModel,
  dynamicModel,
  type LongestAxes,
} from "../runtime/dynamic.js";
import { fail, inference, type NDArray, Tensor } from "../tensor/index.js";

/** As transformers.js calls them: its `dtype`, and what it adds to the file's name. */
export const exportTypes: Record<WeightType, string> = { fp32: "", fp16: "_fp16", q8: "_quantized", q4: "_q4" };
export type ExportType = WeightType;

/**
 * How far an engine may be off, as a share of an output's size: sums in another order and coarse functions; 16-bit steps;
 * for 8 and 4 bits engines also round what they multiply to 8 bits, each in its own blocks (0.05 apart, measured between
 * the native and the WebAssembly package).
 */
const tolerances: Record<ExportType, number> = { fp32: 2e-3, fp16: 1e-2, q8: 0.15, q4: 0.15 };

export interface OnnxExport {
  /** With its weights, and a probe. */
  readonly model: OnnxModel;
  /** Names of the values that are weights, and may go to a file of their own. */
  readonly weights: ReadonlySet<string>;
}

export interface ExportOnnxOptions {
  /** How weights are kept (default "fp32"); for q8 and q4 those of linear layers. */
  readonly dtype?: ExportType;
  /** Axes that are sums of others: `{ total: ["past", "new"] }`. */
  readonly sums?: AxisSums;
  /** How long axes can get whose places have a row in a table (positions of a language model): `{ length: 1024 }`. */
  readonly longest?: LongestAxes;
  /** Sizes of named axes in the probe (default 2 each), and values of inputs that cannot be drawn. */
  readonly probe?: Pick<OnnxInputOptions, "dims" | "inputs" | "seed">;
}

/** A module on one tensor per input, in order, or a function of named tensors. */
export type Exportable =
  | Module<never, unknown>
  | ((inputs: Readonly<Record<string, Tensor>>) => Tensor | Readonly<Record<string, Tensor>>);

/**
 * A model for inference. A single tensor that it gives is called "output". Throws "trace" errors where something depends on
 * the size of a named axis in a way that one graph cannot have (give that axis a number then), and for models that draw
 * random numbers or assign variables in inference.
 */
export async function exportOnnx(
  model: Exportable,
  inputs: Readonly<Record<string, DynamicInput>>,
  { dtype = "fp32", sums = {}, longest = {}, probe = {} }: ExportOnnxOptions = {},
): Promise<OnnxExport> {
  if (Object.keys(inputs).length === 0) fail("argument", "exportOnnx: expected at least one input, by name");
  const body = model instanceof Module ? await applied(model, Object.keys(inputs)) : model;
  const lowered = dynamicModel(
    (given: Record<string, Tensor>) => {
      const result = inference(() => body(given));
      return result instanceof Tensor ? { output: result } : result;
    },
    inputs,
    sums,
    "model",
    longest,
  );
  const names = new Set(Object.values(inputs).flatMap(({ shape }) => shape.filter((n) => typeof n === "string")));
  const sizes = Object.fromEntries(Array.from(names, (name) => [name, probe.dims?.[name] ?? 2]));
  for (const [name, parts] of Object.entries(sums))
    sizes[name] = parts.reduce((total, part) => total + (sizes[part] ?? 2), 0);
  return finish(lowered, dtype, { ...probe, dims: sizes });
}

/** Parametrised weights are stored as they are used. */
async function applied(model: Module<never, unknown>, names: readonly string[]) {
  const own = await clone(model);
  await bake(own);
  return (given: Readonly<Record<string, Tensor>>) =>
    own.apply(...(names.map((name) => given[name]) as never)) as Tensor | Readonly<Record<string, Tensor>>;
}

/** Largest model that can be encoded in one piece, for its probe to be run. */
const largestProbed = 1.9e9;

/** A lowered model with the values of its variables as weights, and a probe. */
export async function finish(lowered: DynamicModel, dtype: ExportType, probe: OnnxInputOptions): Promise<OnnxExport> {
  const values = new Map<string, NDArray>();
  for (const [variable, name] of lowered.variables) values.set(name, await variable.data());
  const graph = lowered.model.graph as GraphProto;
  const whole = withWeights({ ...graph, input: graph.input.filter(({ name }) => !values.has(name)) }, values, dtype);
  const model: OnnxModel = {
    ...lowered.model,
    graph: { ...whole.graph, initializer: [...whole.graph.initializer, ...whole.weights] },
  };
  const weights = new Set(whole.weights.map(({ name }) => name));
  if (bytesOf(whole.weights) > largestProbed) {
    warn("export: a model of more than 1.9 GB carries no probe, since an engine takes no more in one piece");
    return { model, weights };
  }
  return { model: await withProbe(model, onnxInputs(model, probe, "export"), tolerances[dtype]), weights };
}

export const bytesOf = (tensors: readonly TensorProto[]): number =>
  tensors.reduce((sum, { rawData }) => sum + rawData.length, 0);

/** Public checkpoints as our decoder: `modelFromConfig(JSON.parse(configText))` builds it, `loadWeights` fills it. */

import { closest } from "../../nn/closest.js";
import { bounded, uninitialized } from "../../nn/index.js";
import { fail, type NDArray, type Variable } from "../../tensor/index.js";
import { type GPT, gpt } from "../gpt.js";
import type { Architecture } from "./architecture.js";
import { gemma, gemma2 } from "./gemma.js";
import { gptNeoX } from "./gpt-neox.js";
import { gpt2 } from "./gpt2.js";
import { HFConfig, type JsonObject } from "./hf-config.js";
import { describeModel, emptyConfig, layerwise } from "./layerwise.js";
import { type Found, type Layout, ruleFinder, toTheirs } from "./layout.js";
import { llama, mistral, qwen2, qwen3 } from "./llama.js";
import { listed, readInto, type WeightSource } from "./weights.js";

export type { Architecture } from "./architecture.js";
export { fromGPT2 } from "./gpt2.js";
export { HFConfig, isObject, type JsonObject } from "./hf-config.js";
export * from "./weights.js";

export const architectures: readonly Architecture[] = [
  gpt2,
  llama,
  mistral,
  qwen2,
  qwen3,
  gemma,
  gemma2,
  gptNeoX,
  layerwise,
];

/** Throws a "file" error for an architecture that is not supported, naming those that are. */
export function architectureOf(config: HFConfig): Architecture {
  const { model_type: type } = config.values;
  const known = architectures.map(({ modelType }) => modelType);
  const found = architectures.find(({ modelType }) => modelType === type);
  if (!found)
    return config.refuse("model_type", `${JSON.stringify(type)} is not supported${closest(String(type), known)}`);
  const named = config.list("architectures");
  const bare = (name: unknown) => String(name).replace(/(ForCausalLM|LMHeadModel|Model)$/, "");
  if (named?.length && !found.architectures.some((name) => named.some((own) => bare(own) === bare(name))))
    config.refuse("architectures", `${JSON.stringify(named)} is not supported; expected ${found.architectures[0]}`);
  if (config.values.quantization_config)
    config.refuse("quantization_config", "quantised checkpoints are not supported; use the float16 or bfloat16 one");
  return found;
}

/** Numbers of a model whose file is not there to say how many it holds. */
const largestModel = 2 ** 40;

/**
 * The model a `config.json` describes, its weights still 0, of at most `most` numbers. Throws a "file" error naming the key for an architecture or
 * a value that is not supported.
 */
export function modelFromConfig(values: JsonObject, where = "config.json", most = largestModel): GPT {
  const config = new HFConfig(values, where);
  const architecture = architectureOf(config);
  const options = architecture.options(config);
  const model = bounded(most, where, () => uninitialized(() => gpt({ ...options, initialization: "none" })));
  model.source = config;
  return model;
}

/** Throws as `modelFromConfig` for what a `config.json` says by itself, without making anything. */
export function checkConfig(values: JsonObject, where = "config.json"): void {
  const config = new HFConfig(values, where);
  architectureOf(config).options(config);
}

const layoutOf = ({ source }: GPT): Layout =>
  source ? architectureOf(source).layout(source) : layerwise.layout(emptyConfig);

/**
 * Fill a model from a checkpoint, tensor by tensor: no more than one tensor is held beside the model. Throws a "file"
 * error for tensors that are missing, left over or of another shape; names are checked before anything is read.
 */
export async function loadWeights(model: GPT, source: WeightSource, where = "checkpoint"): Promise<void> {
  const variables = model.namedVariables();
  const find = ruleFinder(layoutOf(model));
  const tied = !model.lm_head;
  const missing = new Set(variables.keys());
  const plan: { name: string; found: Found }[] = [];
  for (const name of source.tensors.keys()) {
    const found = find(name);
    if (!found || (tied && found.ours[0] === "lm_head.weight")) continue;
    for (const path of found.ours)
      if (!variables.has(path)) fail("file", `${where}: "${name}" has no place in the model (${path})`);
    for (const path of found.ours) missing.delete(path);
    plan.push({ name, found });
  }
  if (missing.size > 0) fail("file", `${where}: misses ${listed([...missing])}`);
  await readInto(variables, plan, source, where, "config.json");
}

/**
 * The weights as the checkpoint's family names and lays them out, each read when it is asked for, so that no more than one
 * is held beside the model. Throws where the model is no longer one of its family.
 */
export function weightsOf(model: GPT): Map<string, () => Promise<NDArray>> {
  const variables = model.namedVariables();
  const made = toTheirs(layoutOf(model), new Set(variables.keys()));
  return new Map(
    made.map(({ theirs, ours, join }) => [
      theirs,
      async () => join(await Promise.all(ours.map((path) => (variables.get(path) as Variable).data()))),
    ]),
  );
}

/** What `config.json` says of a model. */
export function configOf(model: GPT): JsonObject {
  return model.source?.values ?? describeModel(model);
}

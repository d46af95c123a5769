/**
 * Checkpoint folders in the layout of the Hugging Face hub: `config.json`, `generation_config.json`,
 * `model.safetensors` or its shards with `model.safetensors.index.json`.
 */
import { existsSync } from "node:fs";
import { copyFile, mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import {
  type Bert,
  type BertOptions,
  bert,
  bertOptions,
  checkConfig,
  configOf,
  type Described,
  GPT,
  isObject,
  type JsonObject,
  loadNamed,
  loadWeights,
  modelFromConfig,
  namedWeights,
  type ViT,
  type ViTOptions,
  vit,
  vitOptions,
  weightsOf,
} from "../models/index.js";
import { type AnyModule, bounded, uninitialized } from "../nn/index.js";
import { bytesPerElement } from "../tensor/dtype.js";
import { fail } from "../tensor/errors.js";
import type { NDArray } from "../tensor/ndarray.js";
import { sizeOf } from "../tensor/shape.js";
import { readJson, writeJson } from "./json-file.js";
import { type LazyTensor, openSafetensors, type SafetensorsReader, streamSafetensors } from "./safetensors-file.js";

const index = "model.safetensors.index.json";
const single = "model.safetensors";

/** A checkpoint's configuration. @throws LayerwiseError "file" where there is none. */
export async function readConfigJson(folder: string): Promise<JsonObject> {
  const path = join(folder, "config.json");
  if (!existsSync(path))
    fail(
      "file",
      existsSync(join(folder, "adapter_config.json"))
        ? `${folder}: no config.json, it holds an adapter; expected a checkpoint folder: load its base, then adapt.loadAdapter, merge and savePretrained`
        : `${folder}: no config.json; expected a checkpoint folder as on the Hugging Face hub`,
    );
  const config = await readJson(path, 10_000_000);
  return isObject(config) ? config : fail("file", `${path}: expected an object`);
}

/** The weights of a checkpoint, opened. @throws LayerwiseError "file" where there are none, or a shard is missing. */
export async function openWeights(folder: string): Promise<SafetensorsReader> {
  for (const name of [index, single]) if (existsSync(join(folder, name))) return openSafetensors(join(folder, name));
  const others = (await readdir(folder)).filter((name) => /\.(bin|pth?|gguf|h5|onnx)$/.test(name));
  return fail(
    "file",
    `${folder}: neither ${single} nor ${index}${others.length > 0 ? `, only ${others.slice(0, 3).join(", ")}; convert it to safetensors first` : ""}`,
  );
}

/**
 * The decoder of a checkpoint folder, float16 and bfloat16 widened to float32. Its tensors are read one after another,
 * so that no more than one is held beside the model.
 *
 * @throws LayerwiseError "file" naming the file and the key or tensor: an architecture or option that is not supported,
 * a tensor that is missing, left over, or of another shape.
 */
export async function fromPretrained(folder: string): Promise<GPT> {
  const config = await readConfigJson(folder);
  const where = join(folder, "config.json");
  checkConfig(config, where);
  const weights = await openWeights(folder);
  try {
    const model = modelFromConfig(config, where, most(weights));
    await loadWeights(model, weights, folder);
    return model;
  } finally {
    await weights.close();
  }
}

/**
 * The vision transformer of a checkpoint folder of type "vit" or "deit"; `imageSize` for images of another size than its
 * own, to which the positions are then resized.
 *
 * @throws LayerwiseError "file" as `fromPretrained`.
 */
export async function vitFromPretrained(folder: string, options: Pick<ViTOptions, "imageSize"> = {}): Promise<ViT> {
  const values = vitOptions(await readConfigJson(folder), join(folder, "config.json"));
  return filled(folder, () => vit({ ...values, ...options, initialization: "none" }));
}

/**
 * The BERT of a checkpoint folder, with the heads that its weights have. `dropout` is in training what the configuration
 * says (0.1), or what is given.
 *
 * @throws LayerwiseError "file" as `fromPretrained`.
 */
export async function bertFromPretrained(folder: string, options: Pick<BertOptions, "dropout"> = {}): Promise<Bert> {
  const values = await readConfigJson(folder);
  return filled(folder, ({ tensors }) =>
    bert({ ...bertOptions(values, tensors, join(folder, "config.json")), ...options, initialization: "none" }),
  );
}

/** Numbers of a model with these weights: some are tied, tables of positions are stretched or made here. */
const most = ({ tensors }: SafetensorsReader): number =>
  2 * [...tensors.values()].reduce((sum, { shape }) => sum + sizeOf(shape), 0) + 2 ** 24;

async function filled<M extends AnyModule>(folder: string, make: (weights: SafetensorsReader) => M): Promise<M> {
  const weights = await openWeights(folder);
  try {
    const model = bounded(most(weights), join(folder, "config.json"), () => uninitialized(() => make(weights)));
    await loadNamed(model, weights, { where: folder });
    return model;
  } finally {
    await weights.close();
  }
}

export interface SaveOptions {
  /** Bytes of a file above which weights are split into shards (default 5 GB). */
  readonly maxShardBytes?: number;
  /** A folder whose tokenizer and generation settings go with the model. */
  readonly tokenizerFrom?: string;
}

/** Files that belong to a checkpoint and do not depend on its weights. */
const companions = [
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "chat_template.jinja",
  "vocab.json",
  "merges.txt",
];

/** Copies the tokenizer and the generation settings of a checkpoint, as far as it has them. */
export async function copyCompanions(from: string, to: string): Promise<void> {
  for (const name of companions) if (existsSync(join(from, name))) await copyFile(join(from, name), join(to, name));
}

/**
 * Write a model as a checkpoint folder, made if need be; names and layout are those of the family it came from. A model
 * of ours is written as a Llama where it is one. All is written beside the folder first and moved into it when it is
 * whole, `config.json` last: what was there before stays until then. Throws for a model that has no such layout.
 */
export async function savePretrained(
  model: GPT | (AnyModule & Described),
  folder: string,
  options: SaveOptions = {},
): Promise<void> {
  const { maxShardBytes = 5e9, tokenizerFrom } = options;
  const config = { ...(model instanceof GPT ? configOf(model) : model.describe()), torch_dtype: "float32" };
  const weights = await measured(model instanceof GPT ? weightsOf(model) : namedWeights(model, "huggingface"));
  await mkdir(folder, { recursive: true });
  const staged = await mkdtemp(join(folder, ".saving-"));
  try {
    await writeWeights(staged, weights, maxShardBytes);
    if (tokenizerFrom !== undefined && tokenizerFrom !== folder) await copyCompanions(tokenizerFrom, staged);
    await writeJson(join(staged, "config.json"), config);
    await moveInto(folder, staged);
  } finally {
    await rm(staged, { recursive: true, force: true });
  }
}

const isWeightFile = (name: string): boolean => /^model(-\d+-of-\d+)?\.safetensors(\.index\.json)?$/.test(name);

/** Weights, then what belongs to them, then `config.json`; weight files of before that are not written again go. */
async function moveInto(folder: string, staged: string): Promise<void> {
  const names = await readdir(staged);
  const order = (name: string) => (name === "config.json" ? 2 : isWeightFile(name) ? 0 : 1);
  const old = (await readdir(folder)).filter((name) => isWeightFile(name) && !names.includes(name));
  for (const name of names.sort((x, y) => order(x) - order(y))) {
    if (name === "config.json") for (const gone of old) await rm(join(folder, gone));
    await rename(join(staged, name), join(folder, name));
  }
}

/** Shapes are known only from the tensors, so each is read once for its shape and once to be written. */
export async function measured(weights: ReadonlyMap<string, () => Promise<NDArray>>): Promise<Map<string, LazyTensor>> {
  const tensors = new Map<string, LazyTensor>();
  for (const [name, read] of weights) {
    const { dtype, shape } = await read();
    tensors.set(name, { dtype, shape, read });
  }
  return tensors;
}

const bytesOf = ({ dtype, shape }: LazyTensor): number => sizeOf(shape) * bytesPerElement(dtype);

async function writeWeights(folder: string, weights: ReadonlyMap<string, LazyTensor>, limit: number): Promise<void> {
  const shards = shardsOf(weights, limit);
  if (shards.length === 1) return streamSafetensors(join(folder, single), weights);
  const weightMap: Record<string, string> = {};
  for (const [i, shard] of shards.entries()) {
    const file = `model-${number(i + 1)}-of-${number(shards.length)}.safetensors`;
    for (const name of shard.keys()) weightMap[name] = file;
    await streamSafetensors(join(folder, file), shard);
  }
  const total = [...weights.values()].reduce((sum, tensor) => sum + bytesOf(tensor), 0);
  await writeJson(join(folder, index), { metadata: { total_size: total }, weight_map: weightMap });
}

const number = (n: number): string => String(n).padStart(5, "0");

/** In order, as many to a shard as fit. */
function shardsOf(weights: ReadonlyMap<string, LazyTensor>, limit: number): Map<string, LazyTensor>[] {
  const shards: Map<string, LazyTensor>[] = [new Map()];
  let bytes = 0;
  for (const [name, tensor] of weights) {
    bytes += bytesOf(tensor);
    if (bytes > limit && (shards.at(-1) as Map<string, LazyTensor>).size > 0) {
      shards.push(new Map());
      bytes = bytesOf(tensor);
    }
    (shards.at(-1) as Map<string, LazyTensor>).set(name, tensor);
  }
  return shards;
}

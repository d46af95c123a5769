/** What a run trains: a new model, a checkpoint, or an adapter on one; and what the run leaves behind. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { type Lora, lora } from "../adapt/index.js";
import { saveAdapter } from "../adapt/node.js";
import { fromPretrained, savePretrained } from "../data/pretrained-files.js";
import { writeTokenizer } from "../data/tokenizer-files.js";
import { type GPT, gpt } from "../models/index.js";
import {
  freeze,
  type MLPName,
  type NormOption,
  type PlacementName,
  type PositionsName,
  recompute,
  unfreeze,
} from "../nn/index.js";
import { fail } from "../tensor/errors.js";
import type { TrainConfig } from "../train/config.js";
import type { Base, RunData } from "../train/run-data.js";

export interface Trained {
  readonly model: GPT;
  /** The adapter that is trained, where one is. */
  readonly adapters?: Lora<GPT>;
}

/** The checkpoint of `base_model`. @throws LayerwiseError "config" where `model` is given too; as `fromPretrained`. */
export async function openBase({ baseModel, model }: TrainConfig): Promise<(Base & { model: GPT }) | undefined> {
  if (baseModel === undefined) return undefined;
  const [key] = Object.keys(defined(model));
  if (key)
    fail("config", `model.${key} is given with base_model, whose own config.json says what it is; leave model out`);
  return { folder: baseModel, model: await fromPretrained(baseModel) };
}

export function makeTrained(config: TrainConfig, data: RunData, base: GPT | undefined): Trained {
  const model = base ?? newModel(config, data);
  const adapters = config.adapter && lora(model, loraOptions(config));
  if (config.unfrozenParameters) freezeAllBut(model, config.unfrozenParameters, config.adapter !== undefined);
  if (config.gradientCheckpointing) model.model.layers.forEach(recompute);
  return { model, ...(adapters && { adapters }) };
}

/** Expressions as axolotl's: each matches the beginning of a path. */
function freezeAllBut(model: GPT, expressions: readonly string[], hasAdapter: boolean): void {
  if (hasAdapter)
    fail(
      "config",
      "unfrozen_parameters is given with an adapter, whose base is frozen as a whole; leave one of them out",
    );
  const paths = [...model.namedVariables().keys()];
  const wanted = expressions.flatMap((expression) => {
    const found = paths.filter((path) => beginning(expression).test(path));
    return found.length > 0
      ? found
      : fail(
          "config",
          `unfrozen_parameters: no path begins like "${expression}"; paths look like "${paths[1] ?? paths[0]}"`,
        );
  });
  freeze(model);
  for (const path of new Set(wanted)) unfreeze(model, path);
}

function beginning(expression: string): RegExp {
  if (/\[\d*:\d*\]$/.test(expression))
    fail("config", `unfrozen_parameters: "${expression}" names rows of a parameter; only whole ones can be trained`);
  try {
    return new RegExp(`^(?:${expression})`);
  } catch (cause) {
    return fail("config", `unfrozen_parameters: "${expression}" is not a regular expression`, { cause });
  }
}

function newModel({ model, seed }: TrainConfig, { vocabulary, context }: RunData): GPT {
  const { kvHeads, norm, placement, mlp = "swiglu", hidden, positions, tieEmbeddings, ...sizes } = model;
  // Names are checked where they are used, which also suggests the nearest known one.
  return gpt({
    ...defined(sizes),
    ...defined({
      kvHeads,
      norm: norm as NormOption | undefined,
      placement: placement as PlacementName | undefined,
      positions: positions as PositionsName | undefined,
      tieEmbeddings,
    }),
    mlp: mlp as MLPName,
    ...(hidden !== undefined && { hidden }),
    vocabulary,
    context,
    seed,
  });
}

function loraOptions({ loraR, loraAlpha, loraDropout, loraTargetModules: names, ...config }: TrainConfig) {
  const all = config.loraTargetLinear || names === undefined || names === "all-linear";
  const targets = all ? "all-linear" : [names].flat();
  return { rank: loraR, alpha: loraAlpha, dropout: loraDropout, targets, seed: config.seed };
}

/** Without the keys that are undefined, so that defaults apply. */
const defined = <T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as never;

/** The variables an adapter's checkpoints hold; the base is in `base_model` already. */
export const isAdapterPath = (path: string): boolean => /\.lora_(A|B|active)\./.test(path);

/**
 * Writes what was trained into the run's folder: `adapter/` with PEFT's files, or `model/` as on the Hugging Face hub
 * with the tokenizer. Gives that folder.
 */
export async function saveTrained(
  folder: string,
  trained: Trained,
  { tokenizer }: RunData,
  { baseModel }: TrainConfig,
): Promise<string> {
  if (trained.adapters) {
    const path = join(folder, "adapter");
    await saveAdapter(trained.adapters, path, "default", baseModel === undefined ? {} : { base: baseModel });
    return path;
  }
  const path = join(folder, "model");
  if (typeof tokenizer === "string") {
    await savePretrained(trained.model, path, { tokenizerFrom: tokenizer });
    return path;
  }
  await mkdir(path, { recursive: true });
  await writeTokenizer(path, tokenizer);
  await savePretrained(trained.model, path);
  return path;
}

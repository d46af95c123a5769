/** A model from its folder: a checkpoint's, or an adapter's, which names the checkpoint that it belongs to. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { loadAdapter } from "../adapt/node.js";
import { readJson } from "../data/json-file.js";
import { fromPretrained } from "../data/pretrained-files.js";
import { type GPT, isObject } from "../models/index.js";
import type { CompileOptions } from "../runtime/index.js";
import { fail } from "../tensor/errors.js";

export interface OpenedCheckpoint {
  /** With the adapter merged into its weights. */
  readonly model: GPT;
  /** Where `config.json` and the settings of generation are. */
  readonly base: string;
  /** Where the tokenizer is: an adapter may bring its own. */
  readonly tokenizer: string;
}

/**
 * Opens a checkpoint folder, or a PEFT adapter on the checkpoint that its `base_model_name_or_path` names, a path from
 * the working folder.
 *
 * @throws LayerwiseError "file" where the base is not a folder here; as `fromPretrained` and `adapt.loadAdapter`.
 */
export async function openCheckpoint(folder: string, options: CompileOptions = {}): Promise<OpenedCheckpoint> {
  const adapterConfig = join(folder, "adapter_config.json");
  if (existsSync(join(folder, "config.json")) || !existsSync(adapterConfig))
    return { model: await fromPretrained(folder), base: folder, tokenizer: folder };
  const base = await baseOf(adapterConfig);
  const adapters = await loadAdapter(await fromPretrained(base), folder);
  await adapters.merge(options);
  return { model: adapters.strip(), base, tokenizer: existsSync(join(folder, "tokenizer.json")) ? folder : base };
}

async function baseOf(path: string): Promise<string> {
  const config = await readJson(path, 10_000_000);
  const base = isObject(config) ? config.base_model_name_or_path : undefined;
  return typeof base === "string" && existsSync(join(base, "config.json"))
    ? base
    : fail(
        "file",
        `${path}: expected base_model_name_or_path to be the folder of a checkpoint, as a path from here, got ${JSON.stringify(base)}`,
      );
}

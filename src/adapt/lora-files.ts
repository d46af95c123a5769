/** Adapters on the disk: a folder with `adapter_config.json` and `adapter_model.safetensors`, as PEFT keeps them. */
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { failFile } from "../data/disk.js";
import { readJson, writeJson } from "../data/json-file.js";
import { readSafetensors, writeSafetensors } from "../data/safetensors-file.js";
import type { AnyModule } from "../nn/index.js";
import { fail } from "../tensor/index.js";
import type { Lora } from "./lora.js";
import { type AdapterOptions, fromPeft, type PeftNotes, toPeft } from "./peft.js";

const configName = "adapter_config.json";
const tensorsName = "adapter_model.safetensors";
const configLimit = 16 * 1024 * 1024;

/**
 * Put the adapter of a PEFT folder on a model: in use, frozen unless `train`. The base's weights are not touched.
 *
 *   const adapters = await loadAdapter(model, "tone", { name: "tone" });
 *
 * @throws LayerwiseError "file" for files that are missing or broken and for an adapter of another base, with the names;
 * "config" for settings that are not supported.
 */
export async function loadAdapter<M extends AnyModule>(
  model: M,
  folder: string,
  options: Omit<AdapterOptions, "where"> = {},
): Promise<Lora<M>> {
  const config = await readJson(join(folder, configName), configLimit);
  const path = join(folder, tensorsName);
  if (!existsSync(path) && existsSync(join(folder, "adapter_model.bin")))
    fail(
      "file",
      `${folder}: adapter_model.bin is a pickle, which can hold code; save it again as safetensors with PEFT`,
    );
  const { tensors } = await readSafetensors(path);
  return fromPeft(model, { config, tensors }, { ...options, where: folder });
}

/**
 * Write an adapter as a PEFT folder, made if it is not there.
 *
 * @throws LayerwiseError "file" when the disk refuses, "argument" for an unknown name.
 */
export async function saveAdapter(
  adapters: Lora,
  folder: string,
  name = "default",
  notes: PeftNotes = {},
): Promise<void> {
  const { config, tensors } = await toPeft(adapters, name, notes);
  await mkdir(folder, { recursive: true }).catch((error) => failFile(folder, "the folder cannot be made", error));
  await writeSafetensors(join(folder, tensorsName), tensors);
  await writeJson(join(folder, configName), config);
}

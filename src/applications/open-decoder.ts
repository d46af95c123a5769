/** What goes on with texts, from a folder: a checkpoint's or an adapter's own variables, or an exported file. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { readConfigJson } from "../data/pretrained-files.js";
import {
  architectureOf,
  type Decoder,
  ExportedDecoder,
  type GeneratorOptions,
  type GeneratorType,
  type GPT,
  generatorTypes,
  HFConfig,
} from "../models/index.js";
import type { CompileOptions } from "../runtime/index.js";
import { fail } from "../tensor/index.js";
import { type ExportType, exportTypes } from "./export-program.js";
import { readOnnx } from "./onnx-files.js";
import { openCheckpoint } from "./open-checkpoint.js";

export interface OpenedDecoder {
  readonly source: GPT | Decoder;
  /** `config.json`; nothing where the model came without one. */
  readonly config: HFConfig | undefined;
  /** Where `config.json` and the settings of generation are. */
  readonly base: string;
  readonly tokenizer: string;
  /** For the generator: where it runs and, for a checkpoint, how its weights are read. */
  readonly generator: GeneratorOptions;
}

/**
 * An exported file of the type asked for goes first, then the folder's own weights, then the first exported file.
 *
 * @throws LayerwiseError "file" where a type is asked for that is neither exported nor a way to read a checkpoint, and as
 * `openCheckpoint`.
 */
export async function openDecoder(
  folder: string,
  { dtype, ...options }: CompileOptions & { readonly dtype?: ExportType } = {},
): Promise<OpenedDecoder> {
  const fileOf = (type: ExportType) => join(folder, "onnx", `model${exportTypes[type]}.onnx`);
  const there = (Object.keys(exportTypes) as ExportType[]).filter((type) => existsSync(fileOf(type)));
  const hasWeights = ["model.safetensors", "model.safetensors.index.json", "adapter_config.json"].some((name) =>
    existsSync(join(folder, name)),
  );
  const readable = dtype === undefined || (generatorTypes as readonly string[]).includes(dtype);
  if (hasWeights && readable && !(dtype && there.includes(dtype))) {
    const { model, base, tokenizer } = await openCheckpoint(folder, options);
    const generator = { ...options, ...(dtype && { dtype: dtype as GeneratorType }) };
    return { source: model, config: model.source, base, tokenizer, generator };
  }
  const chosen = dtype ?? there[0];
  if (chosen === undefined) {
    const { model, base, tokenizer } = await openCheckpoint(folder, options); // says what is missing
    return { source: model, config: model.source, base, tokenizer, generator: options };
  }
  if (!there.includes(chosen))
    fail(
      "file",
      `${folder}: no ${fileOf(chosen).slice(folder.length + 1)}${there.length > 0 ? `, only ${there.join(", ")}` : ""}; write it first: layerwise export ${folder} <output> --dtype ${chosen}`,
    );
  const config = new HFConfig(await readConfigJson(folder), join(folder, "config.json"));
  const { context = 1024, vocabulary } = architectureOf(config).options(config);
  const source = await ExportedDecoder.open(await readOnnx(fileOf(chosen)), { context, vocabulary }, options);
  return { source, config, base: folder, tokenizer: folder, generator: options };
}

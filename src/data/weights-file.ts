/** The weights of any model in a file: torchvision's and timm's networks, transformers, and our own. */
import { statSync } from "node:fs";
import { type LoadOptions, loadNamed, namedWeights } from "../models/index.js";
import type { AnyModule } from "../nn/index.js";
import { measured, openWeights } from "./pretrained-files.js";
import { openSafetensors, streamSafetensors } from "./safetensors-file.js";

/**
 * Fill a model from a safetensors file, an index of shards or a folder with either. Names are the model's paths or those of
 * a public layout it knows; which, the names say. One tensor at a time is held beside the model; half precision is widened.
 *
 * @throws LayerwiseError "file" naming the tensors that are missing, unexpected or of another shape; the model is then as it
 * was but for tensors read before one of another shape.
 */
export async function loadSafetensors(
  model: AnyModule,
  path: string,
  { skip = [] }: Pick<LoadOptions, "skip"> = {},
): Promise<void> {
  const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
  const weights = await (isFolder ? openWeights(path) : openSafetensors(path));
  try {
    await loadNamed(model, weights, { where: path, skip });
  } finally {
    await weights.close();
  }
}

/**
 * Write a model's weights as one safetensors file; `layout` is a public one that the model knows ("timm", "huggingface"),
 * by default its own paths.
 */
export async function saveSafetensors(
  model: AnyModule,
  path: string,
  { layout }: { readonly layout?: string } = {},
): Promise<void> {
  await streamSafetensors(path, await measured(namedWeights(model, layout)));
}

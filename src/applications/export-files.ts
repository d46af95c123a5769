/** Exported models as folders: `config.json`, tokenizer, `onnx/model*.onnx` and, for large ones, `*.onnx_data`. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import {
  type GraphProto,
  type ModelProto,
  ModelProtoSchema,
  StringStringEntryProtoSchema,
  type TensorProto,
  TensorProto_DataLocation,
} from "../compile/onnx/onnx_pb.js";
import { writeAtomically, writeFully } from "../data/disk.js";
import { writeJson } from "../data/json-file.js";
import { copyCompanions, fromPretrained } from "../data/pretrained-files.js";
import { configOf } from "../models/index.js";
import { type ExportedModel, type ExportType, exportLanguageModel, exportTypes } from "./export-onnx.js";

export interface ExportFilesOptions {
  readonly dtypes?: readonly ExportType[];
  /** Bytes of weights above which they go to a file of their own (default 1 GB; a file holds 2 GB at most). */
  readonly maxInlineBytes?: number;
  readonly onFile?: (path: string, bytes: number) => void;
}

/** Export a checkpoint folder to another folder that transformers.js loads as it is. */
export async function exportFolder(from: string, to: string, options: ExportFilesOptions = {}): Promise<void> {
  const { dtypes = ["fp32"], maxInlineBytes = 1e9, onFile } = options;
  const model = await fromPretrained(from);
  await mkdir(join(to, "onnx"), { recursive: true });
  const external: Record<string, boolean> = {};
  for (const dtype of dtypes) {
    const exported = await exportLanguageModel(model, { dtype });
    const name = `model${exportTypes[dtype]}.onnx`;
    external[name] = await writeModel(exported, join(to, "onnx", name), maxInlineBytes, onFile);
  }
  await copyCompanions(from, to);
  const config = configOf(model);
  const data = Object.fromEntries(Object.entries(external).filter(([, isExternal]) => isExternal));
  const whole =
    Object.keys(data).length > 0 ? { ...config, "transformers.js_config": { use_external_data_format: data } } : config;
  await writeJson(join(to, "config.json"), whole);
}

/** Whether weights went to a file of their own. */
async function writeModel(
  { model, weights }: ExportedModel,
  path: string,
  limit: number,
  onFile: ExportFilesOptions["onFile"],
): Promise<boolean> {
  const bytes = weights.reduce((sum, { rawData }) => sum + rawData.length, 0);
  const isExternal = bytes > limit;
  const initializer = isExternal ? await writeExternal(weights, `${path}_data`) : weights;
  if (isExternal) onFile?.(`${path}_data`, bytes);
  const graph = model.graph as GraphProto;
  const whole: ModelProto = { ...model, graph: { ...graph, initializer: [...graph.initializer, ...initializer] } };
  const encoded = toBinary(ModelProtoSchema, whole);
  await writeAtomically(path, (handle) => writeFully(handle, encoded));
  onFile?.(path, encoded.length);
  return isExternal;
}

/** Weights one after another, each at a multiple of 4096 bytes, so that they can be mapped. */
async function writeExternal(weights: readonly TensorProto[], path: string): Promise<TensorProto[]> {
  const location = path.slice(path.lastIndexOf("/") + 1);
  const placed: TensorProto[] = [];
  await writeAtomically(path, async (handle) => {
    let at = 0;
    for (const tensor of weights) {
      const padding = (4096 - (at % 4096)) % 4096;
      await writeFully(handle, new Uint8Array(padding));
      await writeFully(handle, tensor.rawData);
      at += padding;
      const entries = { location, offset: String(at), length: String(tensor.rawData.length) };
      placed.push({
        ...tensor,
        rawData: new Uint8Array(0),
        dataLocation: TensorProto_DataLocation.EXTERNAL,
        externalData: Object.entries(entries).map(([key, value]) =>
          create(StringStringEntryProtoSchema, { key, value }),
        ),
      });
      at += tensor.rawData.length;
    }
  });
  return placed;
}

/** Exported models as folders: `config.json`, tokenizer, `onnx/model*.onnx` and, for large ones, `*.onnx_data`. */
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { StringStringEntryProtoSchema, type TensorProto, TensorProto_DataLocation } from "../compile/onnx/onnx_pb.js";
import { writeAtomically, writeFully } from "../data/disk.js";
import { writeJson } from "../data/json-file.js";
import { copyCompanions } from "../data/pretrained-files.js";
import { encodeOnnx, type OnnxVerification, verifyOnnx } from "../inspect/index.js";
import { configOf } from "../models/index.js";
import type { CompileOptions } from "../runtime/index.js";
import { fail } from "../tensor/index.js";
import { exportLanguageModel } from "./export-onnx.js";
import { bytesOf, type ExportType, exportTypes, type OnnxExport } from "./export-program.js";
import { readOnnx } from "./onnx-files.js";
import { openCheckpoint } from "./open-checkpoint.js";

export interface ExportFilesOptions {
  readonly dtypes?: readonly ExportType[];
  /** Bytes of weights above which they go to a file of their own (default 1 GB; a file holds 2 GB at most). */
  readonly maxInlineBytes?: number;
  readonly onFile?: (path: string, bytes: number) => void;
}

/** Export a checkpoint folder, or an adapter's merged into its base, to another folder that transformers.js loads as it is. */
export async function exportFolder(from: string, to: string, options: ExportFilesOptions = {}): Promise<void> {
  const { dtypes = ["fp32"] } = options;
  const { model, base, tokenizer } = await openCheckpoint(from);
  await mkdir(join(to, "onnx"), { recursive: true });
  const external: Record<string, boolean> = {};
  for (const dtype of dtypes) {
    const exported = await exportLanguageModel(model, { dtype });
    const name = `model${exportTypes[dtype]}.onnx`;
    external[name] = await writeOnnx(exported, join(to, "onnx", name), options);
  }
  for (const folder of new Set([base, tokenizer])) await copyCompanions(folder, to);
  const config = configOf(model);
  const data = Object.fromEntries(Object.entries(external).filter(([, isExternal]) => isExternal));
  const whole =
    Object.keys(data).length > 0 ? { ...config, "transformers.js_config": { use_external_data_format: data } } : config;
  await writeJson(join(to, "config.json"), whole);
}

/**
 * Write an exported model; weights of more than `maxInlineBytes` go to `<path>_data` beside it. Each file is whole under its
 * name or not there. Gives whether weights went to a file of their own.
 */
export async function writeOnnx(
  { model, weights }: OnnxExport,
  path: string,
  { maxInlineBytes = 1e9, onFile }: Pick<ExportFilesOptions, "maxInlineBytes" | "onFile"> = {},
): Promise<boolean> {
  const { initializer } = model.graph;
  const [own, rest] = [
    initializer.filter(({ name }) => weights.has(name)),
    initializer.filter(({ name }) => !weights.has(name)),
  ];
  const isExternal = bytesOf(own) > maxInlineBytes;
  const placed = isExternal ? await writeExternal(own, `${path}_data`) : own;
  if (isExternal) onFile?.(`${path}_data`, bytesOf(own));
  const encoded = encodeOnnx({ ...model, graph: { ...model.graph, initializer: [...rest, ...placed] } });
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

export interface FileVerification extends OnnxVerification {
  readonly path: string;
}

/**
 * Hold exported files against the probes they carry, on this engine: one ONNX file, or all of a folder's `onnx/`.
 *
 * @throws LayerwiseError "file" where there is none, one is broken or carries no probe.
 */
export async function verifyExport(path: string, options: CompileOptions = {}): Promise<FileVerification[]> {
  const verified: FileVerification[] = [];
  for (const file of await onnxFilesOf(path))
    verified.push({ path: file, ...(await verifyOnnx(await readOnnx(file), options, file)) });
  return verified;
}

async function onnxFilesOf(path: string): Promise<string[]> {
  if (path.endsWith(".onnx")) return [path];
  for (const folder of [join(path, "onnx"), path]) {
    const names = await readdir(folder).catch(() => []);
    const found = names.filter((name) => name.endsWith(".onnx")).sort();
    if (found.length > 0) return found.map((name) => join(folder, name));
  }
  return fail("file", `${path}: expected an ONNX file, or a folder that layerwise export wrote`);
}

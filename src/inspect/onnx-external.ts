/** Values of an ONNX model that lie in files next to it. */
import type { GraphProto } from "../compile/onnx/onnx_pb.js";
import { fail } from "../tensor/index.js";
import { isExternal } from "./onnx-values.js";
import type { OnnxModel } from "./tap-onnx.js";

/** Where each value that lies outside the file is: a path from the file's folder, and a stretch of bytes. */
export interface ExternalPlace {
  readonly name: string;
  readonly location: string;
  readonly offset: number;
  /** To the end of the file where it is not said. */
  readonly length: number | undefined;
}

/** Largest ONNX file that protobuf allows, less a little for what is not weights. */
const largestFile = 2 ** 31 - 2 ** 20;

/**
 * The model with all its values inside, read by `read`. Throws "file" errors that begin with `source` for places that make
 * no sense, that lead out of the folder, and where all of it is more than an ONNX file can hold (2 GB).
 */
export async function withValuesInside(
  model: OnnxModel,
  read: (place: ExternalPlace) => Promise<Uint8Array>,
  source = "model",
): Promise<OnnxModel> {
  let total = 0;
  const initializer: GraphProto["initializer"] = [];
  for (const tensor of model.graph.initializer) {
    if (!isExternal(tensor)) {
      initializer.push(tensor);
      continue;
    }
    const place = placeOf(tensor, source);
    total += place.length ?? 0;
    const rawData = total <= largestFile ? await read(place) : new Uint8Array();
    if (place.length === undefined) total += rawData.length;
    if (total > largestFile)
      fail("file", `${source}: its values take more than 2 GB, which is more than one ONNX file can hold`);
    initializer.push({ ...tensor, rawData, externalData: [], dataLocation: 0 });
  }
  return { ...model, graph: { ...model.graph, initializer } };
}

const externalKeys = ["location", "offset", "length", "checksum"];

function placeOf({ name, externalData }: GraphProto["initializer"][number], source: string): ExternalPlace {
  const odd = externalData.find(({ key }) => !externalKeys.includes(key));
  if (odd)
    fail(
      "file",
      `${source}: value "${name}" lies outside the file with the key ${JSON.stringify(odd.key)}; expected ${externalKeys.join(", ")}`,
    );
  const entry = new Map(externalData.map(({ key, value }) => [key, value]));
  const location = entry.get("location") ?? "";
  const number = (key: string): number | undefined => {
    const text = entry.get(key);
    if (text === undefined) return undefined;
    const n = Number(text);
    return /^\d+$/.test(text) && Number.isSafeInteger(n)
      ? n
      : fail("file", `${source}: value "${name}" lies outside the file at ${key} ${JSON.stringify(text)}`);
  };
  const parts = location.split(/[\\/]/);
  if (location === "" || /^([\\/]|[A-Za-z]:)/.test(location) || parts.includes("..") || location.includes("\0"))
    fail(
      "file",
      `${source}: value "${name}" lies in ${JSON.stringify(location)}; expected a file in the folder of the model or below it`,
    );
  return { name, location, offset: number("offset") ?? 0, length: number("length") };
}

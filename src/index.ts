/** layerwise for Node: everything that works everywhere, and what needs a file system. */
export * as adapt from "./adapt/node.js";
export { type Choice, type ChoiceAccuracy, Evaluator, type TextLoss } from "./applications/evaluation.js";
export {
  type ExportFilesOptions,
  exportFolder,
  type FileVerification,
  verifyExport,
  writeOnnx,
} from "./applications/export-files.js";
export { type ExportOnnxOptions, exportOnnx, type OnnxExport } from "./applications/export-program.js";
export { readOnnx } from "./applications/onnx-files.js";
export { type OpenedCheckpoint, openCheckpoint } from "./applications/open-checkpoint.js";
export { type Finish, TextGenerator, type TextOptions } from "./applications/text-generation.js";
export * from "./browser.js";
export * as graphs from "./data/graphs/node.js";
export * as images from "./data/images/node.js";
export {
  bertFromPretrained,
  fromPretrained,
  type SaveOptions,
  savePretrained,
  vitFromPretrained,
} from "./data/pretrained-files.js";
export {
  type DataRecord,
  type LocatedRecord,
  locatedRecords,
  type RecordFormat,
  type RecordOptions,
  readRecords,
} from "./data/records.js";
export { readSafetensors, writeSafetensors } from "./data/safetensors-file.js";
export { text } from "./data/text-files.js";
export { Tokenizer, writeTokenizer } from "./data/tokenizer-files.js";
export { loadSafetensors, saveSafetensors } from "./data/weights-file.js";
export type { TrainEvent } from "./train/events.js";
export * from "./train/evonorm-search.js";
export { type FitOptions, fit } from "./train/fit.js";
export { schedule } from "./train/schedule.js";
export { type StressOptions, type StressResult, stressTest } from "./train/stress.js";

/** layerwise for Node: everything that works everywhere, and what needs a file system. */
export * as adapt from "./adapt/node.js";
export * from "./browser.js";
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
export type { TrainEvent } from "./train/events.js";
export { type FitOptions, fit } from "./train/fit.js";
export { schedule } from "./train/schedule.js";

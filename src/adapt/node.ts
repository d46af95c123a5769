/** The `adapt` namespace for Node: with files. */
export * from "./index.js";
export { loadAdapter, saveAdapter } from "./lora-files.js";

/** Adapting models that are trained: parameters beside them, and the files that hold those. */
export * from "./alpha-bn.js";
export { Lora, type LoraOptions, lora } from "./lora.js";
export { LoraLinear, type LoraSettings } from "./lora-linear.js";
export { type AdapterOptions, fromPeft, type PeftFiles, type PeftNotes, toPeft } from "./peft.js";
export type { Targets } from "./targets.js";

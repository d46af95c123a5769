/** A family of public checkpoints: which model its `config.json` describes, and how its weights are laid out. */
import type { GPTOptions } from "../gpt.js";
import type { HFConfig } from "./hf-config.js";
import type { Layout } from "./layout.js";

export interface Architecture {
  /** As `model_type` in the configuration. */
  readonly modelType: string;
  /** As `architectures` in the configuration. */
  readonly architectures: readonly string[];
  /** Throws a "file" error for a value it does not support. */
  readonly options: (config: HFConfig) => GPTOptions;
  readonly layout: (config: HFConfig) => Layout;
}

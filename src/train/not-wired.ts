import { fail } from "../tensor/errors.js";
import type { TrainConfig } from "./config.js";

/** Refuses what the configuration knows and training from the command line does not do yet. */
export function refuseNotWired({ baseModel, adapter }: TrainConfig): void {
  for (const [key, value] of Object.entries({ base_model: baseModel, adapter }))
    if (value !== undefined)
      fail("config", `${key} is "${value}": \`layerwise train\` starts from new weights only; leave ${key} out`);
}

import type { TrainConfig } from "./config.js";

/** A configuration whose lengths in passes over the data have become updates. */
export type PlannedConfig = TrainConfig & { readonly maxSteps: number };

const defaultSteps = 1000;

/**
 * Turns `num_epochs`, `evals_per_epoch` and `saves_per_epoch` into updates, for `samples` samples (windows of a text,
 * rows of a dataset) in one pass:
 *
 *   updates per epoch = samples / (micro_batch_size · gradient_accumulation_steps)
 *   max_steps         = ceil(num_epochs · updates per epoch), unless max_steps is given, as in Hugging Face's trainer
 *   eval_steps        = ceil(updates per epoch / evals_per_epoch), at least 1; 0 evaluations: only at the end
 */
export function planSteps(config: TrainConfig, samples: number): PlannedConfig {
  const { numEpochs, evalsPerEpoch, savesPerEpoch } = config;
  const perEpoch = samples / (config.microBatchSize * config.gradientAccumulationSteps);
  const every = (times: number): number => (times === 0 ? 0 : Math.max(1, Math.ceil(perEpoch / times)));
  const byEpochs = numEpochs === undefined ? defaultSteps : Math.max(1, Math.ceil(numEpochs * perEpoch));
  return {
    ...config,
    maxSteps: config.maxSteps ?? byEpochs,
    ...(evalsPerEpoch !== undefined && { evalSteps: every(evalsPerEpoch) }),
    ...(savesPerEpoch !== undefined && { saveSteps: every(savesPerEpoch) }),
  };
}

import { describe, expect, test } from "vitest";
import { parseConfig } from "../../src/train/config.js";
import { planSteps } from "../../src/train/plan-steps.js";

const plan = (keys: string, samples: number) => {
  const { config } = parseConfig(`data: { path: a }\nmicro_batch_size: 4\ngradient_accumulation_steps: 2\n${keys}`);
  const { maxSteps, evalSteps, saveSteps } = planSteps(config, samples);
  return [maxSteps, evalSteps, saveSteps];
};

describe("[updates, between evaluations, between checkpoints]", () => {
  test.each<[string, number, number[]]>([
    ["", 800, [1000, 250, 250]],
    ["num_epochs: 3", 800, [300, 250, 250]],
    ["num_epochs: 0.5", 801, [51, 250, 250]],
    ["num_epochs: 1", 1, [1, 250, 250]],
    ["num_epochs: 3\nmax_steps: 7", 800, [7, 250, 250]],
    ["num_epochs: 2\nevals_per_epoch: 4\nsaves_per_epoch: 1", 800, [200, 25, 100]],
    ["evals_per_epoch: 0\nsaves_per_epoch: 1000", 800, [1000, 0, 1]],
  ])("%j over %d samples", (keys, samples, expected) => {
    expect(plan(keys, samples)).toEqual(expected);
  });
});

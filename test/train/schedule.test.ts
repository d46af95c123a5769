import { describe, expect, test } from "vitest";
import { type Schedule, schedule } from "../../src/train/schedule.js";

const values = (of: Schedule, steps: readonly number[]): number[] => steps.map((step) => Number(of(step).toFixed(6)));

describe("schedules give the factors that transformers' get_scheduler gives", () => {
  // Right-hand sides: the lambda of each scheduler worked out by hand.
  test.each<[string, Schedule, number[], number[]]>([
    ["constant", schedule.constant(), [0, 5, 1000], [1, 1, 1]],
    ["constant with warm-up", schedule.constant({ warmup: 4 }), [0, 1, 3, 4, 99], [0, 0.25, 0.75, 1, 1]],
    ["linear", schedule.linear({ steps: 10 }), [0, 5, 9, 10, 11], [1, 0.5, 0.1, 0, 0]],
    ["linear with warm-up", schedule.linear({ steps: 10, warmup: 2 }), [0, 1, 2, 6, 10], [0, 0.5, 1, 0.5, 0]],
    ["linear to a minimum", schedule.linear({ steps: 10, minimum: 0.1 }), [0, 5, 10, 20], [1, 0.55, 0.1, 0.1]],
    ["cosine", schedule.cosine({ steps: 8 }), [0, 2, 4, 6, 8, 9], [1, 0.853553, 0.5, 0.146447, 0, 0]],
    ["cosine with warm-up", schedule.cosine({ steps: 10, warmup: 2 }), [0, 1, 2, 6, 10], [0, 0.5, 1, 0.5, 0]],
    ["cosine to a minimum", schedule.cosine({ steps: 8, minimum: 0.2 }), [0, 4, 8, 80], [1, 0.6, 0.2, 0.2]],
    ["wsd", schedule.wsd({ steps: 20, warmup: 2, decay: 4 }), [0, 1, 2, 15, 16, 18, 20], [0, 0.5, 1, 1, 1, 0.5, 0]],
    ["wsd, a tenth by default", schedule.wsd({ steps: 20 }), [0, 17, 18, 19, 20], [1, 1, 1, 0.5, 0]],
    ["wsd, 1 - sqrt", schedule.wsd({ steps: 20, decay: 4, shape: "sqrt" }), [16, 17, 20], [1, 0.5, 0]],
    [
      "wsd, cosine to a minimum",
      schedule.wsd({ steps: 20, decay: 4, shape: "cosine", minimum: 0.5 }),
      [18, 25],
      [0.75, 0.5],
    ],
    ["warm-up as long as the run", schedule.linear({ steps: 4, warmup: 4 }), [0, 3, 4], [0, 0.75, 1]],
  ])("%s", (_, of, steps, expected) => {
    expect(values(of, steps)).toEqual(expected);
  });
});

describe("refused", () => {
  test.each<[string, () => Schedule, string]>([
    ["no steps", () => schedule.cosine({ steps: 0 }), "steps is 0"],
    ["a fraction of a step", () => schedule.linear({ steps: 10, warmup: 0.1 }), "warmup is 0.1"],
    ["a warm-up beyond the run", () => schedule.linear({ steps: 10, warmup: 11 }), "longer than the run"],
    ["a minimum above 1", () => schedule.cosine({ steps: 10, minimum: 2 }), "minimum is 2"],
    ["phases that do not fit", () => schedule.wsd({ steps: 10, warmup: 6, decay: 5 }), "do not fit into 10 steps"],
  ])("%s", (_, make, message) => {
    expect(make).toThrow(message);
  });
});

/** Optimisers, clipping and schedules give PyTorch's numbers, step by step. */
import { describe, expect, it } from "vitest";
import { readSafetensors } from "../../src/data/safetensors-file.js";
import { adam, adamW, clipByGlobalNorm, type Optimizer, sgd } from "../../src/optim/index.js";
import { compile } from "../../src/runtime/index.js";
import { type NDArray, type Tensor, Variable } from "../../src/tensor/index.js";
import { schedule } from "../../src/train/schedule.js";
import { difference } from "../support/compare.js";
import { goldenPath } from "../support/golden.js";

interface UpdateCase {
  readonly optimizer: "sgd" | "adam" | "adamW";
  readonly options: { readonly learningRate: number };
  readonly clipNorm?: number;
  readonly steps: number;
  readonly parameters: number;
}

const makers: Record<UpdateCase["optimizer"], (parameters: Variable[], options: UpdateCase["options"]) => Optimizer> = {
  sgd,
  adam,
  adamW,
};

describe("updates", async () => {
  const { tensors, metadata } = await readSafetensors(goldenPath("optimizers/updates.safetensors"));
  const cases = Object.entries(metadata).map(([name, text]) => ({ name, ...(JSON.parse(text) as UpdateCase) }));
  const get = (name: string) => tensors.get(name) as NDArray;

  it.each(cases)("$name", async ({ name, optimizer: kind, options, clipNorm, steps, parameters: count }) => {
    const variables = Array.from({ length: count }, (_, i) => new Variable(get(`${name}.start.${i}`)));
    const optimizer = makers[kind](variables, options);
    const program = compile((gradients: Readonly<Record<string, Tensor>>) => {
      const list = variables.map((_, i) => gradients[`g${i}`] as Tensor);
      optimizer.update(clipNorm === undefined ? list : clipByGlobalNorm(list, clipNorm).gradients);
      return {};
    });
    for (let step = 0; step < steps; step++) {
      await program(Object.fromEntries(variables.map((_, i) => [`g${i}`, get(`${name}.gradient.${step}.${i}`)])));
      for (const [i, variable] of variables.entries())
        expect(
          difference(await variable.data(), get(`${name}.parameter.${step}.${i}`), 1e-5),
          `step ${step}, parameter ${i}`,
        ).toBe("");
    }
    await program.release();
  });
});

describe("schedules", async () => {
  const { tensors, metadata } = await readSafetensors(goldenPath("optimizers/schedules.safetensors"));
  type ScheduleCase = {
    readonly schedule: "constant" | "linear" | "cosine";
    readonly options: { readonly totalSteps?: number; readonly warmupSteps?: number; readonly finalFactor?: number };
  };
  const cases = Object.entries(metadata).map(([name, text]) => ({ name, ...(JSON.parse(text) as ScheduleCase) }));

  it.each(cases)(
    "$name",
    ({ name, schedule: kind, options: { totalSteps = 1, warmupSteps: warmup = 0, finalFactor: minimum = 0 } }) => {
      const expected = (tensors.get(`${name}.values`) as NDArray).toNumbers();
      const factor =
        kind === "constant" ? schedule.constant({ warmup }) : schedule[kind]({ steps: totalSteps, warmup, minimum });
      for (const [step, value] of expected.entries()) expect(factor(step)).toBeCloseTo(value, 6);
    },
  );
});

it("names the group that a parameter falls into, the first that matches", async () => {
  const [weight, bias] = [new Variable([1, 1], { name: "layer.weight" }), new Variable([1, 1], { name: "layer.bias" })];
  const optimizer = sgd([weight, bias], {
    learningRate: 0.1,
    weightDecay: 0.5,
    groups: [{ match: "**.bias", options: { weightDecay: 0 } }],
  });
  const program = compile(({ g }: { g: Tensor }) => {
    optimizer.update([g, g]);
    return {};
  });
  await program({ g: [0, 0] });
  expect((await weight.data()).toNumbers()[0]).toBeCloseTo(0.95);
  expect((await bias.data()).toNumbers()[0]).toBe(1);
});

it.each([
  [
    "a negative learning rate",
    () => sgd([new Variable([1])], { learningRate: -1 }),
    /learningRate must be a number of at least 0, got -1/,
  ],
  ["no parameters", () => adam([], { learningRate: 1 }), /no parameters; is the whole model frozen/],
  ["too few gradients", () => sgd([new Variable([1])], { learningRate: 1 }).update([]), /0 gradients for 1 parameters/],
])("refuses %s", async (_, act, message) => {
  await expect((async () => act())()).rejects.toThrow(message);
});

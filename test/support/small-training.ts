/** The smallest training with everything in it that a checkpoint must keep: weights, moments, dropout, gathered batches. */
import { text } from "../../src/data/text.js";
import { type GPT, gpt } from "../../src/models/index.js";
import { adamW } from "../../src/optim/index.js";
import { crossEntropy, type Tensor } from "../../src/tensor/index.js";
import type { FitOptions } from "../../src/train/fit.js";
import { schedule } from "../../src/train/schedule.js";

const data = await text.from("pack my box with five dozen liquor jugs. ".repeat(20), { tokens: "bytes", context: 8 });

export const smallModel = (): GPT =>
  gpt({ layers: 1, width: 8, heads: 2, vocabulary: 256, context: 8, dropout: 0.1, seed: 3 });

/** Always of one thread, so that every process gives the same bits. */
export const smallTraining = (model: GPT, more: Partial<FitOptions> & { readonly steps: number }): FitOptions => ({
  model,
  loss: ({ tokens, targets }) => crossEntropy(model.apply(tokens as Tensor), targets as Tensor),
  data: (start) => data.batches({ size: 2, steps: 100_000, seed: 5, start }),
  optimizer: (parameters, learningRate) => adamW(parameters, { learningRate }),
  learningRate: 1e-2,
  schedule: schedule.cosine({ steps: more.steps, warmup: 2 }),
  accumulation: 2,
  clip: 1,
  threads: 1,
  ...more,
});

/** Every bit of a model's variables. */
export const bitsOf = async (model: GPT): Promise<string> =>
  JSON.stringify(
    [...(await model.stateDict())].map(([name, array]) => [name, Buffer.from(array.data.buffer).toString("base64")]),
  );

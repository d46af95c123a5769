/** The smallest training with everything in it that a checkpoint must keep: weights, moments, statistics, dropout, gathered batches. */
import { createHash } from "node:crypto";
import { text } from "../../src/data/text.js";
import { BatchNorm, Dropout, Embedding, initialize, Linear, Module } from "../../src/nn/index.js";
import { adamW } from "../../src/optim/index.js";
import { crossEntropy, type Tensor } from "../../src/tensor/index.js";
import type { FitOptions } from "../../src/train/fit.js";
import { schedule } from "../../src/train/schedule.js";

const data = await text.from("pack my box with five dozen liquor jugs. ".repeat(20), { tokens: "bytes", context: 8 });

/** What the next byte is, from this one alone; a batch norm for its running statistics. */
export class SmallModel extends Module {
  readonly embed = new Embedding(128, 8);
  readonly dropout = new Dropout(0.1);
  readonly norm = new BatchNorm(8, { axis: -1 });
  readonly head = new Linear(8, 128);

  override forward(tokens: Tensor): Tensor {
    return this.head.apply(this.norm.apply(this.dropout.apply(this.embed.apply(tokens))));
  }
}

export function smallModel(): SmallModel {
  const model = new SmallModel();
  initialize(model, { seed: 3 });
  return model;
}

/** Always of one thread, so that every process gives the same bits. */
export const smallTraining = (
  model: SmallModel,
  more: Partial<FitOptions> & { readonly steps: number },
): FitOptions => ({
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

/** A fingerprint of every bit of a model's variables. */
export async function bitsOf(model: SmallModel): Promise<string> {
  const hash = createHash("sha256");
  for (const [name, { data }] of await model.stateDict())
    hash.update(name).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return hash.digest("hex");
}

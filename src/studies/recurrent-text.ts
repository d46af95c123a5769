/**
 * Recurrent language models on the same text from several seeds, plain and normalised inside each step: what the claims
 * of Layer Normalization about recurrent nets are measured on. Runs of one seed read the same batches in the same order,
 * and start from the same matrices.
 */
import type { TextData } from "../data/text.js";
import { type RecurrentLM, type RecurrentLMOptions, recurrentLM, resetRecurrentLM } from "../models/index.js";
import { adam } from "../optim/index.js";
import { compile } from "../runtime/index.js";
import { crossEntropy, grad, NDArray, type Tensor, training } from "../tensor/index.js";

export interface RecurrentTextOptions {
  readonly seeds: readonly number[];
  /** Updates (default 300). */
  readonly steps?: number;
  /** Windows in a batch (default 16). */
  readonly batch?: number;
  /** Adam's, constant (default 2e-3). */
  readonly learningRate?: number;
  /** Batches of held-out text (default 16). */
  readonly validationBatches?: number;
  /** The model (default: an LSTM with H = 96 on embeddings of width 32). `scale` multiplies its first matrices. */
  readonly model?: Omit<RecurrentLMOptions, "vocabulary" | "layerNorm" | "seed">;
  readonly signal?: AbortSignal;
  /** After every update. */
  readonly progress?: (run: Pick<RecurrentRun, "layerNorm" | "seed">, step: number, loss: number) => void;
  /** After every run. */
  readonly listen?: (run: RecurrentRun) => void;
}

export interface RecurrentRun {
  readonly layerNorm: boolean;
  readonly seed: number;
  /** Training loss of every step, nats per token. */
  readonly losses: readonly number[];
  /** Nats per token of held-out text, the same for every run. */
  readonly validationLoss: number;
  readonly seconds: number;
}

/** A run for each of (plain, normalised) and each seed. */
export async function compareRecurrent(data: TextData, options: RecurrentTextOptions): Promise<RecurrentRun[]> {
  const runs: RecurrentRun[] = [];
  for (const layerNorm of [false, true]) {
    const bench = makeBench(data, layerNorm, options);
    try {
      for (const seed of options.seeds) {
        const run = await bench.train(seed);
        options.listen?.(run);
        runs.push(run);
      }
    } finally {
      await bench.release();
    }
  }
  return runs;
}

/** The mean training loss of the steps around one, which single batches blur. */
export function lossAround({ losses }: RecurrentRun, step: number, reach = 5): number {
  const near = losses.slice(Math.max(0, step - reach), step + reach);
  return near.reduce((sum, loss) => sum + loss, 0) / near.length;
}

type Inputs = { readonly tokens: Tensor; readonly targets: Tensor };

/** One model and its programs, used again for every seed. */
function makeBench(data: TextData, layerNorm: boolean, options: RecurrentTextOptions) {
  const { steps = 300, batch = 16, learningRate = 2e-3, validationBatches = 16, signal } = options;
  const { model: shape = { hidden: 96, embeddingWidth: 32 } } = options;
  const model: RecurrentLM = recurrentLM({ ...shape, vocabulary: data.vocabulary, layerNorm });
  const parameters = model.parameters();
  const optimizer = adam(parameters, { learningRate });
  const lossOf = ({ tokens, targets }: Inputs) => crossEntropy(model.apply(tokens), targets);
  const step = compile((inputs: Inputs) => {
    const loss = training(() => lossOf(inputs));
    optimizer.update(grad(loss, parameters));
    return { loss };
  });
  const evaluate = compile((inputs: Inputs) => ({ loss: lossOf(inputs) }));

  async function train(seed: number): Promise<RecurrentRun> {
    const started = performance.now();
    for (const moment of optimizer.state().values()) moment.set(NDArray.zeros(moment.shape));
    resetRecurrentLM(model, { seed, scale: shape.scale ?? 1 });
    const losses: number[] = [];
    for await (const { tokens, targets } of data.batches({ size: batch, steps, seed })) {
      signal?.throwIfAborted();
      losses.push((await step({ tokens, targets })).loss.item());
      options.progress?.({ layerNorm, seed }, losses.length, losses.at(-1) as number);
    }
    let sum = 0;
    const held = { size: batch, steps: validationBatches, seed: 0, split: "validation" } as const;
    for await (const { tokens, targets } of data.batches(held))
      sum += (await evaluate({ tokens, targets })).loss.item();
    const seconds = (performance.now() - started) / 1000;
    return { layerNorm, seed, losses, validationLoss: sum / validationBatches, seconds };
  }
  return { train, release: async () => void (await Promise.all([step.release(), evaluate.release()])) };
}

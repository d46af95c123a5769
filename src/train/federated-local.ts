/** The local part of a federated training: one compiled step, and one compiled test, that all clients share. */

import { inBatches, rowCount } from "../data/rows.js";
import { type AnyModule, lastLinear, planTraining } from "../nn/index.js";
import { adaptiveClip, type Optimizer, sgd } from "../optim/index.js";
import { type CompileOptions, compile, type Program } from "../runtime/index.js";
import { grad, inference, NDArray, type Tensor, training, Variable } from "../tensor/index.js";
import type { FederatedOptions } from "./federated.js";
import { type FederatedClient, localBatch, localStepsOf } from "./federated-clients.js";
import type { Batch } from "./fit.js";

type Inputs = Readonly<Record<string, Tensor>>;

/** What a client's local steps came to: `reason` where they did not end well. */
export interface LocalResult {
  readonly loss: number;
  readonly reason?: string;
}

export class LocalTrainer {
  readonly #step: Program<Inputs, { loss: Tensor }>;
  readonly #optimizer: Optimizer;
  readonly #parameters: readonly Variable[];
  /** θ_server, for fedprox. */
  readonly #anchors: readonly Variable[];
  readonly #learningRate = new Variable(NDArray.zeros([]), { name: "learning rate", trainable: false });
  #fresh: readonly (readonly [Variable, NDArray])[] | undefined;

  constructor(private readonly options: FederatedOptions) {
    const { model, loss: lossOf, agc, proximal = 0.01, clients, rounds } = options;
    const { optimizer = (parameters, learningRate) => sgd(parameters, { learningRate }) } = options;
    this.#parameters = model.parameters();
    this.#optimizer = optimizer(this.#parameters, this.#learningRate);
    this.#anchors =
      options.algorithm === "fedprox"
        ? this.#parameters.map(
            (p) => new Variable(NDArray.zeros(p.shape, p.dtype), { name: `server's ${p.name}`, trainable: false }),
          )
        : [];
    const longest = Math.max(...clients.map(({ train }) => localStepsOf(rowCount(train), options)));
    planTraining(model, { steps: rounds * longest, accumulation: 1 });
    this.#step = compile<Inputs, { loss: Tensor }>((inputs) => {
      const loss = training(() => lossOf(inputs));
      const gradients = grad(this.#withAnchors(loss, proximal), this.#parameters);
      const clipped = agc ? adaptiveClip(gradients, this.#parameters, { ...lastLayer(model), ...agc }) : gradients;
      this.#optimizer.update(clipped);
      return { loss };
    }, programOptions(options));
  }

  /** L + μ/2 ‖θ − θ_server‖². */
  #withAnchors(loss: Tensor, μ: number): Tensor {
    return this.#anchors.reduce((sum, anchor, i) => {
      const distance = (this.#parameters[i] as Variable).sub(anchor).square().sum();
      return sum.add(distance.mul(μ / 2));
    }, loss);
  }

  /** The local steps of client `k`, whose values the model has; undefined when asked to stop. */
  async train(
    { name, train }: FederatedClient,
    k: number,
    round: number,
    position: number,
  ): Promise<LocalResult | undefined> {
    const { signal, onStep, learningRate: rate } = this.options;
    const steps = localStepsOf(rowCount(train), this.options);
    await this.#begin(typeof rate === "number" ? rate : rate(round), position);
    let sum = 0;
    for (let step = 0; step < steps; step++) {
      if (signal?.aborted) return undefined;
      const loss = (await this.#step(localBatch(train, this.options, k, round, step))).loss.item();
      if (!Number.isFinite(loss)) return { loss, reason: `the loss of local step ${step + 1} is ${loss}` };
      sum += loss;
      onStep?.({ round, client: name, step: step + 1, steps, loss });
    }
    return { loss: sum / steps };
  }

  async #begin(rate: number, position: number): Promise<void> {
    this.#fresh ??= await Promise.all(
      [...this.#optimizer.state().values()].map(async (variable) => [variable, await variable.data()] as const),
    );
    for (const [variable, value] of this.#fresh) variable.set(value);
    for (const [i, anchor] of this.#anchors.entries()) anchor.set(await (this.#parameters[i] as Variable).data());
    this.#learningRate.set(rate);
    this.#step.step = position;
  }

  release(): Promise<void> {
    return this.#step.release();
  }
}

export interface Evaluator {
  measure(test: Batch): Promise<number>;
  release(): Promise<void>;
}

const testBatch = 100;

/** The mean over samples, in inference mode. */
export function makeEvaluator(accuracy: (inputs: Inputs) => Tensor, options: FederatedOptions): Evaluator {
  const program = compile<Inputs, { share: Tensor }>(
    (inputs) => ({ share: inference(() => accuracy(inputs)) }),
    programOptions(options),
  );
  return {
    async measure(test) {
      let sum = 0;
      for (const batch of inBatches(test, testBatch)) sum += rowCount(batch) * (await program(batch)).share.item();
      return sum / rowCount(test);
    },
    release: () => program.release(),
  };
}

/** Clients of different sizes have last batches of different sizes. */
const programOptions = ({ seed = 0, backend, threads }: FederatedOptions): CompileOptions => ({
  seed,
  cacheSize: 32,
  ...(backend && { backend }),
  ...(threads !== undefined && { threads }),
});

/** What adaptive clipping leaves alone unless told otherwise. */
function lastLayer(model: AnyModule): { readonly exclude?: string } {
  const path = lastLinear(model);
  return path ? { exclude: `${path}.**` } : {};
}

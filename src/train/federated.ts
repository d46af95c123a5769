/**
 * Federated learning over clients whose data come from different domains, simulated in one process: in every round some
 * clients train the server's model on what they have, and the server averages what comes back.
 *
 *   θₖ ← a few local steps from θ, with a fresh optimiser;   θ ← Σ (nₖ / Σ n) θₖ over the clients of the round
 *
 *   for await (const { round, localLoss, evaluate } of federated({ model, loss, clients, rounds: 100, learningRate: 0.01 })) …
 *
 * fedavg averages everything, running statistics included; fedbn keeps batch norms at each client, the values of its last
 * round; fedwon is fedavg of a model without norms (`removeNorms`), and checks that it has none; fedprox adds μ/2 ‖θ − θ_server‖²
 * to the local loss. One compiled step serves all clients. A real client is one that takes part alone: a round of its own
 * from the server's state, and `aggregate` at the server.
 *
 * Sources: "Communication-Efficient Learning of Deep Networks from Decentralized Data", 2016; "Federated Optimization in
 * Heterogeneous Networks", 2018; "FedBN: Federated Learning on Non-IID Features via Local Batch Normalization", 2021;
 * "FedWon: Triumphing Multi-domain Federated Learning Without Normalization", 2023.
 */
import { rowCount } from "../data/rows.js";
import { type AnyModule, BatchNorm, Norm } from "../nn/index.js";
import type { AdaptiveClipOptions, Optimizer } from "../optim/index.js";
import type { CompileOptions } from "../runtime/index.js";
import { fail, type Tensor, type Variable } from "../tensor/index.js";
import { aggregate, type FederatedState, notFinite, type Values } from "./aggregate.js";
import {
  checkClients,
  checkRows,
  type FederatedClient,
  type LocalOptions,
  localStepsOf,
  type Participation,
  participantsOf,
} from "./federated-clients.js";
import { type Evaluator, LocalTrainer, makeEvaluator } from "./federated-local.js";

export type FederatedAlgorithm = "fedavg" | "fedbn" | "fedwon" | "fedprox";

export interface FederatedOptions extends LocalOptions {
  /** Holds the server's values between rounds and at the end. */
  readonly model: AnyModule;
  /** The scalar loss of a batch of a client's samples. */
  readonly loss: (inputs: Readonly<Record<string, Tensor>>) => Tensor;
  /** The share of a batch that is right, for `evaluate`. */
  readonly accuracy?: (inputs: Readonly<Record<string, Tensor>>) => Tensor;
  readonly clients: readonly FederatedClient[];
  /** Default "fedavg". */
  readonly algorithm?: FederatedAlgorithm;
  /** In all, those of a given state included. */
  readonly rounds: number;
  /** Default: plain SGD. Its state starts anew with every client and round. */
  readonly optimizer?: (parameters: readonly Variable[], learningRate: Variable) => Optimizer;
  /** Of the local steps: a number, or one for each round (from 0). */
  readonly learningRate: number | ((round: number) => number);
  /** Default 1: all clients in every round. */
  readonly participation?: Participation;
  /** wₖ: a client's samples (default, FedAvg's definition), or all alike (the released code of FedBN). */
  readonly weighting?: "samples" | "equal";
  /** Adaptive gradient clipping (default: none); without an `exclude` the last linear layer is left alone. */
  readonly agc?: AdaptiveClipOptions;
  /** μ of fedprox (default 0.01). */
  readonly proximal?: number;
  /** Go on from here; `model`'s own values are not used then. */
  readonly state?: FederatedState;
  readonly onStep?: (step: FederatedStep) => void;
  /** Asks for an end: a round under way is given up. */
  readonly signal?: AbortSignal;
  readonly backend?: CompileOptions["backend"];
  readonly threads?: number;
}

export interface FederatedStep {
  /** From 0. */
  readonly round: number;
  readonly client: string;
  /** Local steps done and to do in this round. */
  readonly step: number;
  readonly steps: number;
  readonly loss: number;
}

export interface FederatedRound {
  /** Rounds done. */
  readonly round: number;
  readonly participants: readonly string[];
  /** Mean loss of each participant's local steps, by name. */
  readonly localLoss: ReadonlyMap<string, number>;
  /** Participants whose update was not finite, and was left out. */
  readonly excluded: readonly { readonly client: string; readonly reason: string }[];
  readonly state: FederatedState;
  /**
   * Accuracy of this round's model in inference mode on the clients' test data, or on other domains; in fedbn every
   * client has its own batch norms, and a domain without a client the first ones.
   */
  evaluate(domains?: readonly Required<Pick<FederatedClient, "name" | "test">>[]): Promise<FederatedAccuracy>;
}

export interface FederatedAccuracy {
  readonly clients: ReadonlyMap<string, number>;
  readonly mean: number;
  readonly worst: number;
}

/** Throws for options and clients that make no sense, a state of another model, and an algorithm that does not fit the model. */
export async function* federated(options: FederatedOptions): AsyncGenerator<FederatedRound> {
  check(options);
  const { model, rounds, signal } = options;
  const run = new FederatedRun(options);
  let state = options.state ?? { round: 0, steps: 0, server: await model.stateDict(), local: new Map() };
  model.loadStateDict(state.server);
  try {
    while (state.round < rounds && !signal?.aborted) {
      const round = await run.round(state);
      if (!round) break;
      state = round.state;
      yield round;
    }
  } finally {
    await run.close(state.server);
  }
}

const algorithms: readonly FederatedAlgorithm[] = ["fedavg", "fedbn", "fedwon", "fedprox"];

function check(options: FederatedOptions): void {
  const { model, clients, algorithm = "fedavg", rounds, batchSize = 32, localEpochs = 1, localSteps = 1 } = options;
  const { participation = 1, weighting = "samples", proximal = 0.01, seed = 0 } = options;
  for (const [name, n] of Object.entries({ rounds, batchSize, localEpochs, localSteps }))
    if (!Number.isInteger(n) || n < 1)
      fail("argument", `federated: ${name} must be a whole number of at least 1, got ${n}`);
  if (!algorithms.includes(algorithm))
    fail("argument", `federated: there is no algorithm "${algorithm}"; there are ${algorithms.join(", ")}`);
  if (weighting !== "samples" && weighting !== "equal")
    fail("argument", `federated: expected a weighting of "samples" or "equal", got "${weighting as string}"`);
  if (!(proximal >= 0 && Number.isFinite(proximal)))
    fail("argument", `federated: proximal must be a number of at least 0, got ${proximal}`);
  checkClients(clients, options);
  if (typeof participation === "number") participantsOf(participation, clients.length, 0, seed);
  const modules = [...model.namedModules()];
  const norm = modules.find(([, module]) => (module as unknown) instanceof Norm)?.[0];
  if (algorithm === "fedwon" && norm !== undefined)
    fail(
      "argument",
      `federated: fedwon is for models without norms, and there is one at ${norm}; take it out with removeNorms`,
    );
  if (algorithm === "fedbn" && localPaths(model).size === 0)
    fail("argument", "federated: fedbn keeps batch norms at the clients, and the model has none; use fedavg");
}

/** Paths of the variables of batch norms, by the type of layer. */
function localPaths(model: AnyModule): Set<string> {
  const own = new Set(
    [...model.namedModules().values()].flatMap((module) =>
      (module as unknown) instanceof BatchNorm ? [...module.namedVariables().values()] : [],
    ),
  );
  return new Set([...model.namedVariables()].filter(([, variable]) => own.has(variable)).map(([path]) => path));
}

/** What the rounds of one training share. */
class FederatedRun {
  readonly #trainer: LocalTrainer;
  readonly #evaluator: Evaluator | undefined;
  readonly #local: ReadonlySet<string>;
  #server: Values | undefined;
  #isClosed = false;
  #busy: Promise<unknown> = Promise.resolve();

  constructor(private readonly options: FederatedOptions) {
    this.#trainer = new LocalTrainer(options);
    this.#evaluator = options.accuracy && makeEvaluator(options.accuracy, options);
    this.#local = options.algorithm === "fedbn" ? localPaths(options.model) : new Set();
  }

  round(state: FederatedState): Promise<FederatedRound | undefined> {
    return this.#inTurn(() => this.#round(state));
  }

  async #round(state: FederatedState): Promise<FederatedRound | undefined> {
    const { model, clients, participation = 1, weighting = "samples", seed = 0 } = this.options;
    const local = new Map(state.local);
    const [updates, weights, excluded]: [Values[], number[], { client: string; reason: string }[]] = [[], [], []];
    const localLoss = new Map<string, number>();
    let { steps } = state;
    const numbers = participantsOf(participation, clients.length, state.round, seed);
    for (const k of numbers) {
      const client = clients[k] as FederatedClient;
      model.loadStateDict(this.#valuesOf(client.name, state));
      const done = await this.#trainer.train(client, k, state.round, steps);
      if (!done) return undefined;
      steps += localStepsOf(rowCount(client.train), this.options);
      const update = await model.stateDict();
      const odd = notFinite(update);
      const reason = done.reason ?? (odd && `"${odd}" is not finite`);
      if (reason) {
        excluded.push({ client: client.name, reason });
        continue;
      }
      localLoss.set(client.name, done.loss);
      updates.push(update);
      weights.push(weighting === "samples" ? rowCount(client.train) : 1);
      if (this.#local.size > 0) local.set(client.name, new Map([...update].filter(([path]) => this.#local.has(path))));
    }
    // Where nothing useful came back, the server stays as it is.
    const averaged =
      updates.length > 0 ? aggregate(updates, weights, { exclude: (path) => this.#local.has(path) }) : [];
    const next: FederatedState = {
      round: state.round + 1,
      steps,
      server: new Map([...state.server, ...averaged]),
      local,
    };
    this.#load(next.server);
    return {
      round: next.round,
      participants: numbers.map((k) => (clients[k] as FederatedClient).name),
      localLoss,
      excluded,
      state: next,
      evaluate: (domains = clients.flatMap(({ name, test }) => (test ? [{ name, test }] : []))) =>
        this.#inTurn(() => this.#evaluate(next, domains)),
    };
  }

  async #evaluate(
    state: FederatedState,
    domains: readonly Required<Pick<FederatedClient, "name" | "test">>[],
  ): Promise<FederatedAccuracy> {
    const evaluator =
      this.#evaluator ??
      fail("argument", "federated: evaluate needs the option `accuracy`, the share of a batch that is right");
    if (domains.length === 0) fail("argument", "federated: evaluate: no client has test data, and no domain was given");
    const found = new Map<string, number>();
    try {
      for (const { name, test } of domains) {
        checkRows(`the test data of "${name}"`, test);
        this.options.model.loadStateDict(this.#valuesOf(name, state));
        found.set(name, await evaluator.measure(test));
      }
    } finally {
      this.options.model.loadStateDict(this.#server ?? state.server);
      if (this.#isClosed) await evaluator.release();
    }
    const values = [...found.values()];
    return { clients: found, mean: values.reduce((a, b) => a + b) / values.length, worst: Math.min(...values) };
  }

  /** The server's values with what a client keeps to itself. */
  #valuesOf(client: string, { server, local }: FederatedState): Values {
    return new Map([...server, ...(local.get(client) ?? [])]);
  }

  #load(server: Values): void {
    this.#server = server;
    this.options.model.loadStateDict(server);
  }

  /** Rounds and evaluations use the model's one set of variables, one after another. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#busy.then(work);
    this.#busy = result.catch(() => {});
    return result;
  }

  close(server: Values): Promise<void> {
    return this.#inTurn(async () => {
      this.#isClosed = true;
      this.#load(server);
      await Promise.all([this.#trainer.release(), this.#evaluator?.release()]);
    });
  }
}

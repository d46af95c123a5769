import { describe, expect, it } from "vitest";
import {
  aggregate,
  compile,
  type FederatedClient,
  type FederatedOptions,
  type FederatedRound,
  type FederatedState,
  federated,
  inference,
  NDArray,
  nn,
  normalArray,
  optim,
  packFederated,
  type Tensor,
  unpackFederated,
} from "../../src/index.js";

/** Two classes that differ in one channel's mean; each client has its own brightness. */
function samples(count: number, k: number): FederatedClient["train"] {
  const labels = Array.from({ length: count }, (_, i) => i % 2);
  const noise = normalArray({ seed: 1, site: `client ${k}` }, [count, 2, 4, 4]).toNumbers();
  const bright = (i: number) => (Math.floor(i / 16) % 2 === 0 ? 2 * (labels[Math.floor(i / 32)] as number) : k);
  return {
    x: NDArray.from(
      noise.map((v, i) => v + bright(i)),
      "float32",
      [count, 2, 4, 4],
    ),
    y: NDArray.from(labels, "int32"),
  };
}

const client = (name: string, count: number, k: number): FederatedClient => ({
  name,
  train: samples(count, k),
  test: samples(20, k),
});
const clients = [client("a", 5, 0), client("b", 7, 1), client("c", 12, 2)];

function network(norm: nn.NormOption | "free" = "free", dropout = 0): nn.Sequential {
  const make = nn.normFactory(norm === "free" ? "batch" : norm);
  const model = new nn.Sequential(
    new nn.Conv2d(2, 4, 3, { padding: 1 }),
    make(4, 1),
    new nn.Lambda((x) => x.relu()),
    new nn.Lambda((x) => x.mean([2, 3])),
    new nn.Dropout(dropout),
    new nn.Linear(4, 2),
  );
  nn.kaiming(model, { seed: 4 });
  for (const [path, variable] of model.namedVariables())
    if (path.endsWith("0.bias") || path.endsWith("5.bias")) variable.set(NDArray.zeros(variable.shape));
  return norm === "free" ? nn.removeNorms(model) : model;
}

const training = (model: nn.Sequential, options: Partial<FederatedOptions> = {}): FederatedOptions => ({
  model,
  loss: ({ x, y }) => nn.crossEntropy(model.apply(x as Tensor), y as Tensor),
  accuracy: ({ x, y }) =>
    model
      .apply(x as Tensor)
      .argmax(-1)
      .cast("int32")
      .equal(y as Tensor)
      .cast("float32")
      .mean(),
  clients,
  rounds: 2,
  batchSize: 4,
  learningRate: 0.1,
  ...options,
});

async function run(options: FederatedOptions): Promise<FederatedRound[]> {
  const rounds: FederatedRound[] = [];
  for await (const round of federated(options)) rounds.push(round);
  return rounds;
}
const lastState = (rounds: readonly FederatedRound[]) => (rounds.at(-1) as FederatedRound).state;
const plain = (values: ReadonlyMap<string, NDArray>) =>
  Object.fromEntries([...values].map(([path, value]) => [path, value.toNumbers()]));
const plainState = ({ round, steps, server, local }: FederatedState) => ({
  round,
  steps,
  server: plain(server),
  local: [...local].map(([name, values]) => [name, plain(values)]),
});

describe("a federated training", () => {
  it("is the same by seed, and goes on from a packed state as if it had not stopped: dropout, momentum, batch norms", async () => {
    const options: Partial<FederatedOptions> = {
      algorithm: "fedbn",
      rounds: 3,
      participation: 2,
      seed: 5,
      optimizer: (parameters, learningRate) => optim.sgd(parameters, { learningRate, momentum: 0.9 }),
    };
    const model = () => network("batch", 0.2);
    const whole = await run(training(model(), options));
    const part = await run(training(model(), { ...options, rounds: 1 }));
    const { tensors, metadata } = packFederated(lastState(part));
    const rest = await run(training(model(), { ...options, state: unpackFederated(tensors, metadata) }));
    expect(rest.map(({ round }) => round)).toEqual([2, 3]);
    expect(plainState(lastState(rest))).toEqual(plainState(lastState(whole)));
    expect(plainState(lastState(await run(training(model(), { ...options, seed: 6 }))))).not.toEqual(
      plainState(lastState(whole)),
    );
  });

  it("of one client is that client's own training; epochs and rounds of plain SGD are the same, those of momentum not", async () => {
    const own = { clients: clients.slice(0, 1), shuffle: false };
    const momentum: FederatedOptions["optimizer"] = (parameters, learningRate) =>
      optim.sgd(parameters, { learningRate, momentum: 0.9 });
    const end = async (options: Partial<FederatedOptions>) =>
      plain(lastState(await run(training(network(), { ...own, ...options }))).server);
    const epochs = await end({ rounds: 1, localEpochs: 2 });
    expect(await end({ rounds: 2 })).toEqual(epochs);
    expect(await end({ rounds: 1, localSteps: 4 })).toEqual(epochs);
    expect(await end({ rounds: 2, optimizer: momentum })).not.toEqual(
      await end({ rounds: 1, localEpochs: 2, optimizer: momentum }),
    );
  });

  it("leaves the server's values in the model, also when its reader goes away", async () => {
    const model = network();
    for await (const { state } of federated(training(model))) {
      expect(plain(await model.stateDict())).toEqual(plain(state.server));
      if (state.round === 1) break;
    }
    const rounds = await run(training(model));
    expect(plain(await model.stateDict())).toEqual(plain(lastState(rounds).server));
  });

  it("compiles one step, which all clients share", async () => {
    let traces = 0;
    const model = network();
    const loss: FederatedOptions["loss"] = ({ x, y }) => {
      traces++;
      return nn.crossEntropy(model.apply(x as Tensor), y as Tensor);
    };
    await run(training(model, { loss, dropLast: true }));
    expect(traces).toBe(1);
  });

  it("weighs clients by their samples, or all alike", async () => {
    const weights = async (options: Partial<FederatedOptions>) =>
      plain(lastState(await run(training(network(), { rounds: 1, localSteps: 1, ...options }))).server)[
        "0.weight"
      ] as number[];
    const alone = await Promise.all([0, 1, 2].map((k) => weights({ participation: () => [k] })));
    for (const [weighting, shares] of [
      ["samples", [5 / 24, 7 / 24, 12 / 24]],
      ["equal", [1 / 3, 1 / 3, 1 / 3]],
    ] as const)
      for (const [i, value] of (await weights({ weighting })).entries())
        expect(value).toBeCloseTo(
          shares.reduce((sum, share, k) => sum + share * (alone[k]?.[i] as number), 0),
          6,
        );
  });

  it("chooses participants by seed, without replacement, and in time all of them", async () => {
    const chosen = async (participation: number, seed: number) =>
      (await run(training(network(), { participation, seed, rounds: 8, localSteps: 1 }))).map((r) => r.participants);
    const two = await chosen(2, 1);
    expect(two.every((names) => new Set(names).size === 2)).toBe(true);
    expect(new Set(two.flat())).toEqual(new Set(["a", "b", "c"]));
    expect(await chosen(2, 1)).toEqual(two);
    expect(await chosen(2, 2)).not.toEqual(two);
    expect((await chosen(0.3, 1)).every((names) => names.length === 1)).toBe(true);
  });

  it("tells of every local step, and stops when asked to, with the last whole round in the model", async () => {
    const seen: string[] = [];
    const stop = new AbortController();
    const model = network();
    const rounds = await run(
      training(model, {
        rounds: 5,
        signal: stop.signal,
        onStep({ round, client, step, steps, loss }) {
          seen.push(`${round} ${client} ${step}/${steps}`);
          expect(loss).toBeGreaterThan(0);
          if (round === 1 && client === "b") stop.abort();
        },
      }),
    );
    expect(seen).toEqual(
      ["0 a 1/2", "0 a 2/2", "0 b 1/2", "0 b 2/2", "0 c 1/3", "0 c 2/3", "0 c 3/3"].concat(
        "1 a 1/2",
        "1 a 2/2",
        "1 b 1/2",
      ),
    );
    expect(rounds).toHaveLength(1);
    expect(plain(await model.stateDict())).toEqual(plain(lastState(rounds).server));
  });

  it("learns with batches of one, and is evaluated on clients and on other domains, in any order", async () => {
    const rounds = await run(training(network(), { rounds: 6, batchSize: 1, learningRate: 0.05 }));
    const last = rounds.at(-1) as FederatedRound;
    const [here, elsewhere, first] = await Promise.all([
      last.evaluate(),
      last.evaluate([{ name: "unseen", test: samples(30, 3) }]),
      (rounds[0] as FederatedRound).evaluate(),
    ]);
    expect([...here.clients.keys()]).toEqual(["a", "b", "c"]);
    const values = [...here.clients.values()];
    expect(here.mean).toBeCloseTo(values.reduce((a, b) => a + b) / 3, 10);
    expect(here.worst).toBe(Math.min(...values));
    expect(here.mean).toBeGreaterThan(0.8);
    expect(elsewhere.mean).toBeGreaterThan(0.6);
    expect(first.mean).toBeLessThanOrEqual(here.mean);
    const total = (round: FederatedRound) => [...round.localLoss.values()].reduce((a, b) => a + b);
    expect(total(last)).toBeLessThan(total(rounds[0] as FederatedRound));
  });
});

describe("the algorithms", () => {
  it("fedavg averages running statistics; fedbn keeps the server's and each client's own", async () => {
    const start = plain(await network("batch").stateDict());
    const average = lastState(await run(training(network("batch"))));
    expect(average.local.size).toBe(0);
    expect(plain(average.server)["1.running_mean"]).not.toEqual(start["1.running_mean"]);
    const own = lastState(await run(training(network("batch"), { algorithm: "fedbn", participation: () => [0, 2] })));
    for (const entry of ["weight", "bias", "running_mean", "running_var"])
      expect(plain(own.server)[`1.${entry}`]).toEqual(start[`1.${entry}`]);
    expect([...own.local.keys()]).toEqual(["a", "c"]);
    expect([...(own.local.get("a")?.keys() ?? [])].every((path) => path.startsWith("1."))).toBe(true);
    expect(plain(own.local.get("a") as never)).not.toEqual(plain(own.local.get("c") as never));
    expect(plain(own.server)["0.weight"]).not.toEqual(start["0.weight"]);
  });

  it("fedbn is evaluated with each client's own batch norms, elsewhere with the first ones", async () => {
    const model = network("batch");
    const [round] = (await run(training(model, { algorithm: "fedbn", rounds: 1 }))) as [FederatedRound];
    const accuracyOf = async (values: ReadonlyMap<string, NDArray>, { x, y }: FederatedClient["train"]) => {
      model.loadStateDict(values);
      const program = compile(({ x }) => ({ y: inference(() => model.apply(x as Tensor)) }));
      const logits = (await program({ x: x as NDArray })).y as NDArray;
      const right = (y as NDArray)
        .toNumbers()
        .filter((label, i) => label === (logits.at(2 * i + 1) > logits.at(2 * i) ? 1 : 0));
      return right.length / (y as NDArray).size;
    };
    const { server, local } = round.state;
    const found = await round.evaluate();
    for (const { name, test = {} } of clients)
      expect(found.clients.get(name)).toBeCloseTo(
        await accuracyOf(new Map([...server, ...(local.get(name) ?? [])]), test),
        6,
      );
    const unseen = samples(130, 3);
    const elsewhere = await round.evaluate([{ name: "unseen", test: unseen }]);
    expect(elsewhere.mean).toBeCloseTo(await accuracyOf(server, unseen), 6);
    await expect(round.evaluate([])).rejects.toThrow(/no client has test data/);
  });

  it("take a learning rate for each round", async () => {
    const rounds = await run(training(network(), { learningRate: (round) => (round === 0 ? 0.1 : 0) }));
    const constant = await run(training(network(), { rounds: 1 }));
    expect(plain(lastState(rounds).server)).toEqual(plain(lastState(constant).server));
  });

  it("fedprox stays closer to the server; with μ = 0 it is fedavg, and its first step is", async () => {
    const end = async (options: Partial<FederatedOptions>) =>
      plain(lastState(await run(training(network(), { rounds: 1, ...options }))).server)["0.weight"] as number[];
    const start = plain(await network().stateDict())["0.weight"] as number[];
    const distance = (values: readonly number[]) => Math.hypot(...values.map((v, i) => v - (start[i] as number)));
    const average = await end({ localEpochs: 4 });
    expect(await end({ localEpochs: 4, algorithm: "fedprox", proximal: 0 })).toEqual(average);
    const near = await end({ localEpochs: 4, algorithm: "fedprox", proximal: 2 });
    expect(distance(near)).toBeLessThan(0.95 * distance(average));
    const first = await end({ localSteps: 1, algorithm: "fedprox", proximal: 2 });
    expect(first).toEqual(await end({ localSteps: 1 }));
  });

  it("clip adaptively when asked to, and leave the last linear layer alone unless told otherwise", async () => {
    const end = async (agc?: optim.AdaptiveClipOptions) =>
      plain(lastState(await run(training(network(), { rounds: 1, localSteps: 1, ...(agc && { agc }) }))).server);
    const [free, clipped, all] = [
      await end(),
      await end({ clipping: 1e-3 }),
      await end({ clipping: 1e-3, exclude: "none" }),
    ];
    expect(clipped["0.weight"]).not.toEqual(free["0.weight"]);
    expect(clipped["5.weight"]).toEqual(free["5.weight"]);
    expect(all["5.weight"]).not.toEqual(free["5.weight"]);
  });

  it("leave parameters that are frozen as they are", async () => {
    const model = network();
    nn.freeze(model, "0.*");
    const before = plain(await model.stateDict());
    const after = plain(lastState(await run(training(model))).server);
    expect(after["0.weight"]).toEqual(before["0.weight"]);
    expect(after["5.weight"]).not.toEqual(before["5.weight"]);
  });
});

describe("an update that is not finite", () => {
  const broken = (): FederatedClient => {
    const { train, ...rest } = client("broken", 8, 0);
    const x = train.x as NDArray;
    return { ...rest, train: { ...train, x: NDArray.from(x.toNumbers().fill(Number.NaN, 0, 1), "float32", x.shape) } };
  };

  it("is left out and reported; the rest counts as if it had not taken part", async () => {
    const options = { rounds: 1, localSteps: 2, shuffle: false };
    const [round] = await run(training(network(), { ...options, clients: [...clients, broken()] }));
    expect(round?.participants).toContain("broken");
    expect(round?.excluded).toEqual([
      { client: "broken", reason: expect.stringMatching(/loss of local step 1 is NaN/) },
    ]);
    expect([...(round?.localLoss.keys() ?? [])]).toEqual(["a", "b", "c"]);
    const without = await run(training(network(), options));
    expect(plain(lastState(without).server)).toEqual(plain((round as FederatedRound).state.server));
  });

  it("of every client leaves the server as it was", async () => {
    const before = plain(await network("batch").stateDict());
    const [round] = await run(
      training(network("batch"), { rounds: 1, algorithm: "fedbn", shuffle: false, clients: [broken()] }),
    );
    expect(plain((round as FederatedRound).state.server)).toEqual(before);
    expect(round?.state.local.size).toBe(0);
  });

  it("is found after the last step, too, by the entry's name", async () => {
    const [round] = await run(
      training(network(), { rounds: 1, localSteps: 1, learningRate: Number.POSITIVE_INFINITY }),
    );
    expect(round?.excluded).toHaveLength(3);
    expect(round?.excluded[0]?.reason).toMatch(/^".*" is not finite$/);
  });
});

describe("what makes no sense is refused", () => {
  const [a, b] = clients as [FederatedClient, FederatedClient, FederatedClient];
  const empty = { x: NDArray.zeros([0, 2, 4, 4]), y: NDArray.zeros([0], "int32") };
  it.each<[string, Partial<FederatedOptions>, RegExp]>([
    ["no clients", { clients: [] }, /got no clients/],
    ["a name twice", { clients: [a, b, { ...b, name: "a" }] }, /a name of its own, got "a" twice/],
    ["no name", { clients: [{ ...a, name: "" }] }, /a name of its own, got ""/],
    ["no data", { clients: [a, { ...b, train: empty }] }, /the training data of "b" has no samples/],
    ["no test data in it", { clients: [{ ...a, test: {} }] }, /the test data of "a" has no samples/],
    [
      "rows that do not match",
      { clients: [{ ...a, train: { ...a.train, y: b.train.y as NDArray } }] },
      /5 rows of "x" and 7 of "y"/,
    ],
    [
      "fewer samples than a batch",
      { batchSize: 6, dropLast: true },
      /client "a" has 5 samples, fewer than a batch of 6/,
    ],
    ["participation 0", { participation: 0 }, /above 0 and up to 1, or a count from 2 to the 3 clients, got 0/],
    ["more than there are", { participation: 4 }, /to the 3 clients, got 4/],
    ["a number that is no client", { participation: () => [3] }, /different numbers from 0 to 2, got \[3\]/],
    ["nobody", { participation: () => [] }, /participants of round 0 .* got \[\]/],
    ["no rounds", { rounds: 0 }, /rounds must be a whole number of at least 1, got 0/],
    ["no batch", { batchSize: 0 }, /batchSize must be/],
    ["half an epoch", { localEpochs: 0.5 }, /localEpochs must be/],
    ["λ = 0", { agc: { clipping: 0 } }, /expected a positive clipping, got 0/],
    ["μ < 0", { algorithm: "fedprox", proximal: -1 }, /proximal must be/],
    ["fedbn without batch norms", { algorithm: "fedbn" }, /the model has none; use fedavg/],
    ["another algorithm", { algorithm: "fedsgd" as never }, /there is no algorithm "fedsgd"; there are fedavg/],
    ["another weighting", { weighting: "size" as never }, /"samples" or "equal", got "size"/],
  ])("%s", async (_, options, message) => {
    await expect(run(training(network(), options))).rejects.toThrow(message);
  });

  it("norms in fedwon, a state of another model, batch norm of one value, and an accuracy that was not given", async () => {
    await expect(run(training(network("batch"), { algorithm: "fedwon" }))).rejects.toThrow(
      /there is one at 1; .*removeNorms/,
    );
    const state = lastState(await run(training(network("batch"), { rounds: 1 })));
    await expect(run(training(network(), { state }))).rejects.toThrow(/loadStateDict: missing .* unexpected/);
    const flat = new nn.Sequential(
      new nn.Lambda((x) => x.mean([2, 3])),
      new nn.Linear(2, 4),
      nn.batchNorm(4),
      new nn.Linear(4, 2),
    );
    await expect(run(training(flat, { batchSize: 1 }))).rejects.toThrow(/BatchNorm at 2: one value per channel/);
    const { accuracy: _, ...rest } = training(network(), { rounds: 1 });
    const [round] = await run(rest);
    await expect(round?.evaluate()).rejects.toThrow(/evaluate needs the option `accuracy`/);
  });
});

describe("aggregate", () => {
  const values = (w: readonly number[], steps: number) =>
    new Map([
      ["w", NDArray.from(w, "float32")],
      ["steps", NDArray.from([steps], "int64")],
    ]);

  it("is the weighted mean of floats, the first client's of counters, without what is excluded", () => {
    const both = [values([1, 2], 7), values([5, -2], 9)];
    expect(plain(aggregate(both, [1, 3]))).toEqual({ w: [4, -1], steps: [7] });
    expect(plain(aggregate(both, [0, 2]))).toEqual({ w: [5, -2], steps: [7] });
    expect(plain(aggregate(both, [1, 1], { exclude: (path) => path === "w" }))).toEqual({ steps: [7] });
  });

  it.each<[string, Map<string, NDArray>[], number[], RegExp]>([
    ["no states", [], [], /got no states/],
    ["too few weights", [values([1], 0)], [], /0 weights for 1 states/],
    ["weights of 0", [values([1], 0), values([2], 0)], [0, 0], /weights are all 0/],
    ["a negative weight", [values([1], 0)], [-1], /at least 0, got -1 for client 0/],
    [
      "other shapes",
      [values([1], 0), values([1, 2], 0)],
      [1, 1],
      /"w" is float32\[2\] at client 1, float32\[1\] at client 0/,
    ],
    ["a missing entry", [values([1], 0), new Map()], [1, 1], /client 1 lacks "w", client 0 has it/],
    ["an extra entry", [new Map(), values([1], 0)], [1, 1], /client 1 has "w", client 0 does not have it/],
  ])("refuses %s", (_, states, weights, message) => {
    expect(() => aggregate(states, weights)).toThrow(message);
  });

  it("reads back only what was packed", () => {
    expect(() => unpackFederated(new Map(), {})).toThrow(/was this file made by packFederated/);
    expect(() => unpackFederated(new Map(), { "layerwise.federated": "{" })).toThrow(
      /was this file made by packFederated/,
    );
  });
});

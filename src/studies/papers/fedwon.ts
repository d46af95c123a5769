/** FedWon: four clients with four domains, averaged with batch norms, without them, and with nothing in their place. */
import type { Claim } from "../../catalogue/claim.js";
import { shapeArrays } from "../../data/images/shapes.js";
import type { ShiftName } from "../../data/images/shifts.js";
import {
  batchNorm,
  Conv2d,
  groupNorm,
  Lambda,
  Linear,
  type Module,
  type NormFactory,
  removeNorms,
  Sequential,
  uninitialized,
} from "../../nn/index.js";
import { crossEntropy, NDArray, philoxUniform, type Tensor } from "../../tensor/index.js";
import {
  type FederatedAccuracy,
  type FederatedOptions,
  type FederatedRound,
  federated,
} from "../../train/federated.js";
import type { FederatedClient } from "../../train/federated-clients.js";
import type { LabelledImages } from "../image-lab.js";
import { imagesFigure } from "../images-figure.js";
import { judge, paired } from "../judge.js";
import { mean } from "../statistics.js";
import { countVerdicts, type PaperStudy, type StudyContext } from "../study.js";
import type { Fact, Section, Table } from "../study-report.js";

export const study: PaperStudy = {
  paper: "fedwon",
  title: "FedWon: federated learning over domains, without norms",
  summary: countVerdicts,
  limits: [
    "The paper's gains over FedBN of ten points on real domains cannot be seen on drawn shapes, where both get nearly everything right.",
    "Two convolutions that end in one pool would learn too slowly without norms at this size; this net keeps its places.",
    "The clients' differences are of colour and light; skewed labels and hundreds of clients are not tried.",
  ],
  async run(context) {
    const results = await runAll(context);
    return {
      setup: setupOf(context),
      claims: [
        ...smallBatchClaims(results["batches of 1"]),
        ...largeBatchClaims(results["batches of 8"]),
        ...partialClaims(results["one client a round"]),
        ...clippingClaims(results["a large rate"]),
      ],
      sections: [domainSection(), resultSection(results)],
    };
  },
};

const known = [undefined, "lowcontrast", "tint", "dark"] as const satisfies readonly (ShiftName | undefined)[];
const unseen = ["bright", "noisy", "inverted"] as const satisfies readonly ShiftName[];
const pictures = { train: 120, test: 300 } as const;

type Method = "FedAvg, BN" | "FedBN" | "FedAvg, GN" | "no norms" | "FedWon" | "FedWon, λ = 0.16" | "FedWon, λ = 1.28";
type Setting = Pick<FederatedOptions, "batchSize" | "learningRate" | "rounds" | "participation"> & {
  readonly batchSize: number;
  readonly methods: readonly Method[];
};

const settings = {
  "batches of 1": {
    batchSize: 1,
    learningRate: 0.01,
    rounds: 12,
    methods: ["FedAvg, BN", "FedBN", "no norms", "FedWon"],
  },
  "batches of 8": {
    batchSize: 8,
    learningRate: 0.1,
    rounds: 20,
    methods: ["FedAvg, BN", "FedBN", "FedAvg, GN", "no norms", "FedWon"],
  },
  "one client a round": {
    batchSize: 8,
    learningRate: 0.05,
    rounds: 40,
    participation: 0.25,
    methods: ["FedAvg, BN", "FedBN", "FedWon"],
  },
  "a large rate": {
    batchSize: 8,
    learningRate: 0.5,
    rounds: 10,
    methods: ["FedWon", "FedWon, λ = 0.16", "FedWon, λ = 1.28"],
  },
} as const satisfies Readonly<Record<string, Setting>>;
type SettingName = keyof typeof settings;
const settingNames = Object.keys(settings) as SettingName[];

interface Run {
  readonly accuracy: FederatedAccuracy;
  /** Mean accuracy on domains without a client. */
  readonly unseen: number;
  /** Mean accuracy on the clients' domains after so many rounds. */
  readonly curve: { readonly x: readonly number[]; readonly y: readonly number[] };
}
type Runs = Partial<Record<Method, Run[]>>;
type Results = Readonly<Record<SettingName, Runs>>;

/** Two runs for every seed asked for, each with pictures and first weights of its own: the runs are short. */
const drawsOf = ({ seeds }: StudyContext): number[] => seeds.flatMap((seed) => [2 * seed, 2 * seed + 1]);

/** Local steps of all clients together in one round. */
const stepsOf = ({ batchSize, participation = 1 }: Setting): number =>
  known.length * (participation as number) * Math.floor(pictures.train / batchSize);

const roundsOf = ({ quick, steps }: StudyContext, setting: Setting): number =>
  Math.max(1, Math.round(steps === undefined ? setting.rounds / (quick ? 4 : 1) : steps / stepsOf(setting)));

async function runAll(context: StudyContext): Promise<Results> {
  const results = Object.fromEntries(settingNames.map((name) => [name, {}])) as Record<SettingName, Runs>;
  for (const draw of drawsOf(context)) {
    const data = dataOf(draw);
    for (const name of settingNames)
      for (const method of settings[name].methods) {
        const title = `${method}, ${name}, run ${draw}`;
        const run = await runOne(context, settings[name], method, draw, data, title);
        results[name][method] = [...(results[name][method] ?? []), run];
      }
  }
  return results;
}

interface Data {
  readonly clients: readonly Required<FederatedClient>[];
  readonly others: readonly Required<Pick<FederatedClient, "name" | "test">>[];
}

/** Every domain has scenes of its own. */
function dataOf(seed: number): Data {
  const draw = (count: number, first: number, shift?: ShiftName) =>
    centred(shapeArrays(count, { seed, first, ...(shift && { shift }) }));
  const perDomain = pictures.train + pictures.test;
  return {
    clients: known.map((shift, k) => ({
      name: shift ?? "base",
      train: draw(pictures.train, k * perDomain, shift),
      test: draw(pictures.test, k * perDomain + pictures.train, shift),
    })),
    others: unseen.map((shift, k) => ({
      name: shift,
      test: draw(pictures.test, (known.length + k) * perDomain, shift),
    })),
  };
}

function centred({ images, labels }: LabelledImages): { images: NDArray; labels: NDArray } {
  const values = (images.data as Float32Array).map((x) => 2 * x - 1);
  return { images: new NDArray(values, images.shape, "float32"), labels };
}

/** Two convolutions with what stands after them, and one matrix; first values as torch's, the same for every method. */
function network(method: Method, seed: number): Module {
  const norm: NormFactory = (width) => (method === "FedAvg, GN" ? groupNorm(4, width) : batchNorm(width));
  const pooled = () => new Lambda((x) => x.relu().maxPool2d({ kernel: 2 }));
  const model = uninitialized(
    () =>
      new Sequential(
        new Conv2d(3, 16, 3, { padding: 1 }),
        norm(16),
        pooled(),
        new Conv2d(16, 32, 3, { padding: 1 }),
        norm(32),
        pooled(),
        new Lambda((x) => x.reshape([x.dim(0), 800])),
        new Linear(800, 6),
      ),
  );
  for (const [path, module] of model.namedModules() as Map<string, unknown>) {
    if (!(module instanceof Conv2d || module instanceof Linear)) continue;
    const bound = 1 / Math.sqrt(module.weight.size / module.weight.dim(0));
    for (const [name, variable] of Object.entries({ weight: module.weight, bias: module.bias })) {
      const values = philoxUniform({ seed, site: `${path}.${name}` }, variable?.size ?? 0);
      variable?.set(
        new NDArray(
          values.map((u) => (2 * u - 1) * bound),
          variable.shape,
          "float32",
        ),
      );
    }
  }
  if (method === "no norms") return removeNorms(model, { standardize: false });
  return method.startsWith("FedWon") ? removeNorms(model, { gamma: "relu" }) : model;
}

const algorithmOf = (method: Method): Pick<FederatedOptions, "algorithm" | "agc"> => {
  const [, clipping] = /λ = (.*)$/.exec(method) ?? [];
  return {
    algorithm: method === "FedBN" ? "fedbn" : method.startsWith("FedWon") ? "fedwon" : "fedavg",
    ...(clipping !== undefined && { agc: { clipping: Number(clipping) } }),
  };
};

/** Points of a curve of accuracy. */
const points = 6;

async function runOne(
  context: StudyContext,
  { methods: _, ...setting }: Setting,
  method: Method,
  seed: number,
  { clients, others }: Data,
  title: string,
): Promise<Run> {
  const started = performance.now();
  const model = network(method, seed);
  const rounds = roundsOf(context, { ...setting, methods: [] });
  const logits = (images: Tensor | undefined) => model.apply(images as Tensor);
  const steps = rounds * stepsOf({ ...setting, methods: [] });
  const curve: { x: number[]; y: number[] } = { x: [], y: [] };
  let [step, last] = [0, undefined as FederatedRound | undefined];
  for await (const round of federated({
    ...setting,
    ...algorithmOf(method),
    model,
    clients,
    rounds,
    seed,
    dropLast: true,
    loss: ({ images, labels }) => crossEntropy(logits(images), labels as Tensor),
    accuracy: ({ images, labels }) =>
      logits(images)
        .argmax(-1)
        .cast("int32")
        .equal(labels as Tensor)
        .cast("float32")
        .mean(),
    onStep: ({ loss }) => context.progress({ kind: "step", title, step: ++step, steps, loss }),
    ...(context.signal && { signal: context.signal }),
  })) {
    last = round;
    if (round.round % Math.ceil(rounds / points) !== 0 && round.round !== rounds) continue;
    curve.x.push(round.round);
    curve.y.push((await round.evaluate()).mean);
  }
  context.signal?.throwIfAborted();
  const accuracy = await (last as FederatedRound).evaluate();
  const elsewhere = await (last as FederatedRound).evaluate(others);
  const told = [`accuracy ${accuracy.mean.toFixed(3)}`, `worst ${accuracy.worst.toFixed(3)}`];
  context.progress({ kind: "run", title, seconds: (performance.now() - started) / 1000, facts: told });
  return { accuracy, unseen: elsewhere.mean, curve };
}

const measures = {
  mean: { metric: "mean accuracy over the clients' domains", of: ({ accuracy }: Run) => accuracy.mean },
  worst: { metric: "accuracy in the worst of the clients' domains", of: ({ accuracy }: Run) => accuracy.worst },
  unseen: { metric: "mean accuracy over domains without a client", of: ({ unseen: value }: Run) => value },
} as const;

function beats(
  runs: Runs,
  claim: string,
  high: Method,
  low: Method,
  margin: number,
  measure: keyof typeof measures = "mean",
  note?: string,
): Claim {
  const { metric, of } = measures[measure];
  const values = (method: Method) => (runs[method] ?? []).map(of);
  return judge({
    claim,
    metric,
    baseline: [low, values(low)],
    measured: [high, values(high)],
    effect: paired(values(high), values(low), (a, b) => a - b - margin),
    test: `difference against ${margin}`,
    ...(note !== undefined && { note }),
  });
}

const smallBatchClaims = (runs: Runs): Claim[] => [
  beats(runs, "With batches of one picture, FedWon beats averaged batch norms by 0.05", "FedWon", "FedAvg, BN", 0.05),
  beats(runs, "… and is not behind FedBN (within 0.01)", "FedWon", "FedBN", -0.01),
  beats(runs, "FedBN beats averaged batch norms by 0.05, too", "FedBN", "FedAvg, BN", 0.05),
  beats(
    runs,
    "It is the standardised weights: without norms and without them, 0.05 is lost",
    "FedWon",
    "no norms",
    0.05,
    "mean",
    "The net without norms has torch's first weights, too small for it; with larger ones it loses less.",
  ),
];

const largeBatchClaims = (runs: Runs): Claim[] => [
  beats(runs, "With batches of 8, FedWon beats averaged batch norms by 0.08", "FedWon", "FedAvg, BN", 0.08),
  beats(runs, "… and a net without norms and without standardised weights", "FedWon", "no norms", 0),
  beats(runs, "Averaged batch norms fail a domain: FedWon's worst is 0.2 better", "FedWon", "FedAvg, BN", 0.2, "worst"),
  beats(
    runs,
    "One model for all: on domains without a client FedWon beats FedBN by 0.05",
    "FedWon",
    "FedBN",
    0.05,
    "unseen",
    "FedBN has no statistics for them: its first ones are used, as they were before training.",
  ),
];

const partialClaims = (runs: Runs): Claim[] => [
  beats(
    runs,
    "With one client of four in a round, FedWon beats averaged batch norms by 0.08",
    "FedWon",
    "FedAvg, BN",
    0.08,
  ),
  beats(runs, "… and is not behind FedBN (within 0.01)", "FedWon", "FedBN", -0.01),
];

const clippingClaims = (runs: Runs): Claim[] => [
  beats(runs, "At a rate of 0.5 adaptive clipping at 0.16 saves it, by 0.5", "FedWon, λ = 0.16", "FedWon", 0.5),
];

const setupOf = (context: StudyContext): Fact[] => [
  {
    label: "Clients",
    value: `four, each with one domain of six drawn shapes (base, lowcontrast, tint, dark): ${pictures.train} pictures to learn from, ${pictures.test} held out`,
  },
  { label: "Model", value: "two convolutions of 16 and 32 channels with norm, ReLU and max pool, one matrix" },
  {
    label: "Training",
    value: settingNames
      .map((name) => {
        const { batchSize, learningRate } = settings[name];
        return `${name}: ${roundsOf(context, settings[name])} rounds of one pass, batches of ${batchSize}, plain SGD at ${learningRate}`;
      })
      .join("; "),
  },
  { label: "Runs", value: `${drawsOf(context).length} of each, with pictures and first weights of their own` },
];

const domainSection = (): Section => ({
  title: "The domains",
  prose: ["Each client sees one of the first four; the others have no client."],
  figures: [
    imagesFigure({
      title: "The domains",
      caption: "The same six scenes in each; clients have scenes of their own.",
      rows: [...known, ...unseen].map((shift) => ({
        name: shift ?? "base",
        images: Array.from({ length: 6 }, (_, first) => {
          const { images } = shapeArrays(1, { first, ...(shift && { shift }) });
          return images.reshape(images.shape.slice(1));
        }),
      })),
    }),
  ],
});

const resultSection = (results: Results): Section => ({
  title: "One model from four domains",
  prose: [
    "FedAvg averages all, running statistics included; FedBN leaves batch norms at the clients; FedWon has none. Each is tested by the server's model, FedBN's with each client's own batch norms.",
  ],
  figures: settingNames.slice(0, 3).map((name) => ({
    kind: "lines" as const,
    title: `Accuracy, ${name}`,
    caption: "Mean over the clients' domains; higher is better.",
    x: { label: "round" },
    y: { label: "accuracy", min: 0, max: 1 },
    series: Object.entries(results[name]).map(([method, runs]) => ({
      key: method,
      name: method,
      runs: runs.map(({ curve }) => curve),
    })),
  })),
  tables: settingNames.map((name) => tableOf(name, results[name])),
});

const tableOf = (name: SettingName, runs: Runs): Table => ({
  title: `After training, ${name}`,
  caption: "Means over runs.",
  columns: ["method", ...known.map((shift) => shift ?? "base"), "mean", "worst", "mean of unseen domains"],
  rows: Object.entries(runs).map(([method, list]) => [
    method,
    ...known.map((shift) => mean(list.map(({ accuracy }) => accuracy.clients.get(shift ?? "base") as number))),
    mean(list.map(measures.mean.of)),
    mean(list.map(measures.worst.of)),
    mean(list.map(measures.unseen.of)),
  ]),
});

/** Layer Normalization: the invariances of its table, independence of the batch, and LSTMs with and without it. */
import type { Claim } from "../../catalogue/claim.js";
import { compile } from "../../runtime/index.js";
import { concat, type NDArray, normalArray, type Tensor } from "../../tensor/index.js";
import { exact, judge, paired } from "../judge.js";
import { compareRecurrent, lossAround, type RecurrentRun } from "../recurrent-text.js";
import { countVerdicts, type PaperStudy, type StudyContext } from "../study.js";
import type { Fact, Section } from "../study-report.js";

const [cases, inputs, neurons] = [8, 24, 16];

type Measured = "weightScale" | "weightShift" | "oneNeuron" | "caseScale" | "batch";
type Feeds = Readonly<Record<"x" | "w" | "shift" | "other", Tensor>>;

/** Largest change of LN(W x) under each transformation, relative to its largest value. */
const program = () =>
  compile(({ x, w, shift, other }: Feeds) => {
    const layer = (data: Tensor, weight: Tensor) => data.matmul(weight.transpose()).layerNorm({ eps: 1e-12 });
    const y = layer(x, w);
    const change = (z: Tensor) => z.sub(y).abs().max().div(y.abs().max());
    const firstNeuron = w.slice({ end: 1 }).mul(5);
    return {
      weightScale: change(layer(x, w.mul(3))),
      weightShift: change(layer(x, w.add(shift))),
      oneNeuron: change(layer(x, concat([firstNeuron, w.slice({ start: 1 })]))),
      caseScale: change(layer(x.mul(7), w)),
      batch: layer(x.slice({ end: 1 }), w)
        .sub(layer(concat([x.slice({ end: 1 }), other]), w).slice({ end: 1 }))
        .abs()
        .max(),
    };
  });

export const study: PaperStudy = {
  paper: "layer-norm",
  title: "Layer Normalization: what it does not react to, and what it does to LSTMs",
  summary: countVerdicts,
  limits: [
    "The paper's retrieval, attentive reader and handwriting models are out of reach; here are LSTMs of width 96 on windows of 40 bytes.",
    "The normalised LSTM's lead is one at the usual learning rate: where the plain one has a rate of its own, ten times as high, most of it is gone.",
  ],
  async run(context) {
    const invariances = await measureInvariances(Array.from({ length: context.quick ? 5 : 10 }, (_, seed) => seed));
    const runs = await trainRecurrent(context);
    return {
      setup: recurrentSetup(context),
      claims: [...invarianceClaims(invariances), ...recurrentClaims(runs)],
      sections: [lossSection(runs)],
    };
  },
};

type Invariances = readonly Readonly<Record<Measured, NDArray>>[];

async function measureInvariances(seeds: readonly number[]): Promise<Invariances> {
  const measure = program();
  const results: Readonly<Record<Measured, NDArray>>[] = [];
  for (const seed of seeds) {
    const draw = (site: string, shape: readonly number[]) => normalArray({ seed, site }, shape);
    results.push(
      await measure({
        x: draw("x", [cases, inputs]),
        w: draw("w", [neurons, inputs]),
        shift: draw("shift", [1, inputs]),
        other: draw("other", [cases - 1, inputs]),
      }),
    );
  }
  await measure.release();
  return results;
}

function invarianceClaims(results: Invariances): Claim[] {
  const of = (name: Measured) => results.map((r) => r[name].item());
  const metric = "largest relative change of the output";
  const unchanged = (claim: string, name: Measured, limit: number) =>
    exact({ claim, metric, label: "LayerNorm", values: of(name), limit });
  return [
    unchanged("Rescaling the whole weight matrix changes nothing", "weightScale", 1e-4),
    unchanged("Adding one vector to every neuron's weights changes nothing", "weightShift", 1e-4),
    unchanged("Rescaling a single case changes nothing", "caseScale", 1e-4),
    judge({
      claim: "Rescaling one neuron's weights does change the output",
      metric,
      baseline: ["no change", [0]],
      measured: ["LayerNorm", of("oneNeuron")],
      effect: of("oneNeuron").map((v) => v - 0.05),
      test: "change against 0.05",
    }),
    unchanged("What a case gives does not depend on the other cases of its batch", "batch", 1e-6),
  ];
}

const recurrentSteps = ({ quick, steps = quick ? 60 : 300 }: StudyContext): number => steps;

async function trainRecurrent(context: StudyContext): Promise<RecurrentRun[]> {
  const { seeds, signal, progress } = context;
  const { data } = await context.laboratory();
  const steps = recurrentSteps(context);
  return compareRecurrent(data, {
    seeds,
    steps,
    ...(signal && { signal }),
    progress: (run, step, loss) => progress({ kind: "step", title: nameOf(run), step, steps, loss }),
    listen: (run) =>
      progress({
        kind: "run",
        title: nameOf(run),
        seconds: run.seconds,
        facts: [`val ${run.validationLoss.toFixed(3)}`],
      }),
  });
}

const kindOf = (layerNorm: boolean): string => (layerNorm ? "normalised LSTM" : "plain LSTM");
const nameOf = ({ layerNorm, seed }: Pick<RecurrentRun, "layerNorm" | "seed">): string =>
  `${kindOf(layerNorm)}, seed ${seed}`;

const recurrentSetup = (context: StudyContext): Fact[] => [
  { label: "Invariances", value: `random cases of ${inputs} inputs and ${neurons} neurons` },
  { label: "Sequences", value: "an LSTM of width 96 on embeddings of width 32, bytes of text as tokens" },
  {
    label: "Training",
    value: `${recurrentSteps(context)} steps of 16 windows, Adam at 0.002, same batches and same first matrices for both`,
  },
  { label: "Seeds", value: String(context.seeds.length) },
];

function recurrentClaims(runs: readonly RecurrentRun[]): Claim[] {
  const [plain, normalised] = [runs.filter((run) => !run.layerNorm), runs.filter((run) => run.layerNorm)];
  const middle = Math.floor((runs[0]?.losses.length ?? 0) / 3);
  const compare = (claim: string, metric: string, value: (run: RecurrentRun) => number) =>
    judge({
      claim,
      metric,
      baseline: ["plain LSTM", plain.map(value)],
      measured: ["normalised LSTM", normalised.map(value)],
      effect: paired(plain.map(value), normalised.map(value), (a, b) => a - b),
      test: "difference",
    });
  return [
    compare(
      "Normalised inside each step, an LSTM learns faster",
      `training loss around step ${middle} (nats per token)`,
      (run) => lossAround(run, middle),
    ),
    compare(
      "… and generalises better after the same training",
      "held-out loss (nats per token)",
      (run) => run.validationLoss,
    ),
  ];
}

const lossSection = (runs: readonly RecurrentRun[]): Section => ({
  title: "Recurrent nets on text",
  prose: ["The same LSTM, plain and with its gates' inputs and its cell normalised at every step."],
  figures: [
    {
      kind: "lines",
      title: "Training loss",
      caption: "A lower curve is better.",
      x: { label: "step" },
      y: { label: "loss", unit: "nats per token" },
      series: [false, true].map((layerNorm) => ({
        key: kindOf(layerNorm),
        name: kindOf(layerNorm),
        runs: runs
          .filter((run) => run.layerNorm === layerNorm)
          .map(({ losses }) => ({ x: losses.map((_, i) => i + 1), y: losses })),
      })),
      smooth: 9,
    },
  ],
});

/** Weight Standardization: normalised activations before training, large batches, and batches of one. */
import type { Claim } from "../../catalogue/claim.js";
import {
  batchChannelNorm,
  batchNorm,
  Conv2d,
  groupNorm,
  kaiming,
  Lambda,
  Linear,
  type Module,
  type NormFactory,
  Sequential,
  standardizeWeights,
} from "../../nn/index.js";
import { sgd } from "../../optim/index.js";
import { compile } from "../../runtime/index.js";
import { type Tensor, training } from "../../tensor/index.js";
import { schedule } from "../../train/schedule.js";
import {
  accuracyClaim,
  accuracyTable,
  type ClassifierRun,
  compareClassifiers,
  type ImageTask,
  type LabelledImages,
  shapeTask,
} from "../image-lab.js";
import { exact, judge, logRatio } from "../judge.js";
import { mean } from "../statistics.js";
import { countVerdicts, type PaperStudy, type StudyContext } from "../study.js";
import { lossCurves } from "../train-run.js";

export const study: PaperStudy = {
  paper: "weight-standardization",
  title: "Weight Standardization: group norm as good as batch norm, also for batches of one",
  summary: countVerdicts,
  limits: [
    "The gains in detection and segmentation need those tasks; on these shapes every good norm gets nearly all of them right.",
    "Batch-Channel Normalization and group norm with standardised weights are both near perfect here, so their order cannot be told.",
  ],
  async run(context) {
    const initial = await initialMeans(context);
    const large = await compareAt(context, 32);
    const micro = await compareAt(context, 1);
    return {
      setup: [
        {
          label: "Pictures",
          value: `six drawn shapes of 20 × 20 pixels, noise 0.1: ${pictures.train} to learn from, ${pictures.test} held out`,
        },
        {
          label: "Model",
          value: `six convolutions of ${widths.join(", ")} channels with norm and ReLU, ${groups} groups`,
        },
        {
          label: "Training",
          value: `SGD with momentum 0.9, linear decay: ${stepsOf(context, 32)} steps of 32 at 0.1, ${stepsOf(context, 1)} steps of one picture at 0.01`,
        },
        { label: "Seeds", value: String(context.seeds.length) },
      ],
      claims: [...initialClaims(initial), ...trainingClaims(large, micro)],
      sections: [
        {
          title: "Batches of 32",
          prose: ["The usual regime."],
          figures: [curves(large)],
          tables: [accuracyTable(large)],
        },
        {
          title: "One picture at a time",
          prose: ["Batch norm sees one picture's statistics in training and all pictures' in use, and fails there."],
          figures: [curves(micro)],
          tables: [accuracyTable(micro)],
        },
      ],
    };
  },
};

const curves = (runs: Readonly<Record<string, readonly ClassifierRun[]>>) =>
  lossCurves(runs, { title: "Training loss", caption: "A lower curve is better.", unit: "nats" });

const pictures = { train: 3000, test: 1000 } as const;
const widths = [16, 16, 32, 32, 64, 64] as const;
const groups = 4;
const task =
  (batch: number) =>
  (seed: number): ImageTask =>
    shapeTask({ ...pictures, batch, seed, noise: 0.1 });
const stepsOf = ({ quick, steps }: StudyContext, batch: number): number =>
  steps ?? (batch === 1 ? (quick ? 300 : 3000) : quick ? 40 : 187);

function network(norm: NormFactory, seed: number, standardized: boolean): Module {
  const blocks = widths.flatMap((width, i) => [
    new Conv2d(i === 0 ? 3 : (widths[i - 1] as number), width, 3, {
      stride: i === 2 || i === 4 ? 2 : 1,
      padding: 1,
      bias: false,
    }),
    norm(width, 1),
    new Lambda((x) => x.relu()),
  ]);
  const model = new Sequential(...blocks, new Lambda((x) => x.mean([2, 3])), new Linear(64, 6, { bias: false }));
  kaiming(model, { mode: "fanIn", seed });
  return standardized ? standardizeWeights(model) : model;
}

const group: NormFactory = (width) => groupNorm(groups, width);
const models = {
  BN: (seed: number) => network((width) => batchNorm(width), seed, false),
  GN: (seed: number) => network(group, seed, false),
  "GN+WS": (seed: number) => network(group, seed, true),
  "BCN+WS": (seed: number) =>
    network((width) => batchChannelNorm(width, { groups, estimate: true, rate: 0.1 }), seed, true),
};
type Runs = Readonly<Record<keyof typeof models, readonly ClassifierRun[]>>;

const compareAt = (context: StudyContext, batch: number): Promise<Runs> =>
  compareClassifiers(context, models, {
    seeds: context.seeds,
    task: task(batch),
    steps: stepsOf(context, batch),
    optimizer: (parameters, learningRate) => sgd(parameters, { learningRate, momentum: 0.9, weightDecay: 1e-4 }),
    learningRate: batch === 1 ? 0.01 : 0.1,
    schedule: schedule.linear({ steps: stepsOf(context, batch) }),
  });

type Initial = Readonly<Record<"BN" | "GN" | "GN+WS", number>>;

/** Mean over channels of |mean| / deviation behind the last norm, before any training. */
async function initialMeans({ quick }: StudyContext): Promise<Initial[]> {
  const seeds = Array.from({ length: quick ? 3 : 5 }, (_, seed) => seed);
  const results: Initial[] = [];
  for (const seed of seeds) {
    const batch = task(64)(seed).train(0);
    results.push({
      BN: await centre(models.BN(seed), batch),
      GN: await centre(models.GN(seed), batch),
      "GN+WS": await centre(models["GN+WS"](seed), batch),
    });
  }
  return results;
}

async function centre(model: Module, { images }: LabelledImages): Promise<number> {
  const upToLastNorm = new Sequential(...(model as Sequential).layers.slice(0, 3 * widths.length - 1));
  const program = compile(({ x }: { x: Tensor }) => {
    const y = training(() => upToLastNorm.apply(x));
    const centre = y.mean([0, 2, 3], { keepDims: true });
    const deviation = y.sub(centre).square().mean([0, 2, 3], { keepDims: true }).sqrt();
    return { value: centre.abs().div(deviation).mean() };
  });
  const { value } = await program({ x: images });
  await program.release();
  return value.item();
}

function initialClaims(initial: readonly Initial[]): Claim[] {
  const of = (name: keyof Initial) => initial.map((values) => values[name]);
  const metric = "mean over channels of |mean| / deviation behind the last norm, before training";
  return [
    judge({
      claim: "Standardised weights keep channels four times as well centred under group norm",
      metric,
      baseline: ["GN", of("GN")],
      measured: ["GN+WS", of("GN+WS")],
      effect: logRatio(of("GN"), of("GN+WS"), 4),
      test: "log ratio against log 4",
    }),
    exact({ claim: "Batch norm centres them by construction", metric, label: "BN", values: of("BN"), limit: 1e-4 }),
  ];
}

function trainingClaims(large: Runs, micro: Runs): Claim[] {
  const end = (runs: readonly ClassifierRun[]) =>
    runs.map(({ losses }) => mean(losses.slice(-Math.ceil(losses.length / 5))));
  return [
    accuracyClaim(large, {
      claim: "In batches of 32, group norm with standardised weights beats group norm by 0.2",
      high: "GN+WS",
      low: "GN",
      margin: 0.2,
    }),
    accuracyClaim(large, {
      claim: "… and is as good as batch norm (within 0.02)",
      high: "GN+WS",
      low: "BN",
      margin: -0.02,
    }),
    accuracyClaim(micro, {
      claim: "With one picture at a time it beats batch norm by 0.4",
      high: "GN+WS",
      low: "BN",
      margin: 0.4,
    }),
    accuracyClaim(micro, {
      claim: "Batch-Channel Normalization with standardised weights does so, too",
      high: "BCN+WS",
      low: "BN",
      margin: 0.4,
    }),
    judge({
      claim: "With one picture at a time, standardised weights learn to a fifth of group norm's training loss",
      metric: "mean training loss of the last fifth of the steps (nats)",
      baseline: ["GN", end(micro.GN)],
      measured: ["GN+WS", end(micro["GN+WS"])],
      effect: logRatio(end(micro.GN), end(micro["GN+WS"]), 5),
      test: "log ratio against log 5",
    }),
  ];
}

/** Weight Compander: what it does to the distribution of weights, and to what is learned from few points. */
import type { Claim } from "../../catalogue/claim.js";
import {
  bake,
  clone,
  compand,
  initializeAsTorch,
  Lambda,
  Linear,
  Sequential,
  type WeightStatistics,
  weightStatistics,
} from "../../nn/index.js";
import { sgd } from "../../optim/index.js";
import { crossEntropy, NDArray, philoxNormal, philoxUniform, type Tensor } from "../../tensor/index.js";
import { schedule } from "../../train/schedule.js";
import { relativeError } from "../golden/case.js";
import { batchesOf, type LabelledImages, taskOf } from "../image-lab.js";
import { exact, judge, logRatio, paired } from "../judge.js";
import { mean } from "../statistics.js";
import { countVerdicts, type PaperStudy, type StudyContext, twiceTheSeeds } from "../study.js";
import type { Section } from "../study-report.js";
import { lossCurves, meanOver, outputsOf, type Trained, trainRun } from "../train-run.js";

export const study: PaperStudy = {
  paper: "weight-compander",
  title: "Weight Compander: fewer idle weights, no giants",
  summary: countVerdicts,
  limits: [
    "The paper's gains on image networks are a few tenths of a percent; here ten classes are learned from 500 points, where only the loss tells them apart.",
    "Fixed a and b are judged; learned ones did not help at this size and are shown beside.",
  ],
  async run(context) {
    const runs = await trainAll(context);
    return {
      setup: [
        {
          label: "Points",
          value: `10 classes of 3 Gaussian modes in 20 dimensions: ${points.train} to learn from, ${points.test} held out`,
        },
        { label: "Model", value: "20 – 64 – 64 – 10 with ReLU" },
        {
          label: "Training",
          value: `${stepsOf(context)} steps of 64, SGD at 0.05 with momentum 0.9, weight decay 5e-4, cosine`,
        },
        { label: "Seeds", value: String(twiceTheSeeds(context).length) },
      ],
      claims: claimsOf(runs),
      sections: [section(runs)],
    };
  },
};

const points = { train: 500, test: 4000, dimensions: 20, classes: 10, modes: 3 } as const;
const stepsOf = ({ quick, steps = quick ? 300 : 1500 }: StudyContext): number => steps;
/** Each class is three round clouds; as pictures of one row. */
function clouds(count: number, seed: number, site: string): LabelledImages {
  const { dimensions: d, classes, modes } = points;
  const centres = philoxNormal({ seed, site: "centres" }, classes * modes * d);
  const choice = philoxUniform({ seed, site: `${site} modes` }, count);
  const noise = philoxNormal({ seed, site: `${site} noise` }, count * d);
  const mode = Array.from(choice, (u) => Math.min(classes * modes - 1, Math.floor(u * classes * modes)));
  return {
    images: new NDArray(
      noise.map((z, i) => (centres[(mode[Math.floor(i / d)] as number) * d + (i % d)] as number) + 1.6 * z),
      [count, d],
      "float32",
    ),
    labels: NDArray.from(
      mode.map((m) => Math.floor(m / modes)),
      "int32",
    ),
  };
}

const variants = ["plain", "companded", "companded, a and b learned"] as const;
type Variant = (typeof variants)[number];

interface CompanderRun extends Trained {
  readonly testLoss: number;
  readonly weights: readonly WeightStatistics[];
  /** Largest difference of outputs after the weights are baked. */
  readonly baked: number;
}
type Runs = Readonly<Record<Variant, readonly CompanderRun[]>>;

async function trainAll(context: StudyContext): Promise<Runs> {
  const runs = Object.fromEntries(variants.map((name) => [name, []])) as unknown as Record<Variant, CompanderRun[]>;
  for (const seed of twiceTheSeeds(context))
    for (const variant of variants) {
      const title = `${variant}, seed ${seed}`;
      const run = await trainOne(context, variant, seed, title);
      runs[variant].push(run);
      context.progress({ kind: "run", title, seconds: run.seconds, facts: [`test loss ${run.testLoss.toFixed(3)}`] });
    }
  return runs;
}

async function trainOne(context: StudyContext, variant: Variant, seed: number, title: string): Promise<CompanderRun> {
  const relu = () => new Lambda((x) => x.relu());
  const model = new Sequential(new Linear(20, 64), relu(), new Linear(64, 64), relu(), new Linear(64, 10));
  initializeAsTorch(model, { seed });
  if (variant !== "plain") await compand(model, { init: "direct", learn: variant !== "companded" });
  const [train, test] = [clouds(points.train, seed, "train"), clouds(points.test, seed, "test")];
  const task = taskOf(train, test, 64, seed);
  const loss = ({ images, labels }: Readonly<Record<string, Tensor>>) =>
    crossEntropy(model.apply(images as Tensor), labels as Tensor);
  const steps = stepsOf(context);
  const trained = await trainRun(context, {
    title,
    model,
    loss,
    data: async function* (start) {
      for (let step = start; ; step++) yield task.train(step);
    },
    optimizer: (parameters, learningRate) => sgd(parameters, { learningRate, momentum: 0.9, weightDecay: 5e-4 }),
    learningRate: 0.05,
    schedule: schedule.cosine({ steps }),
    steps,
    seed,
  });
  const testLoss = await meanOver(batchesOf(test, 1000), loss);
  const plain = await clone(model);
  await bake(plain);
  const [after, before] = [await outputsOf(plain, test.images), await outputsOf(model, test.images)];
  return { ...trained, testLoss, weights: await weightStatistics(model), baked: relativeError(after, before) };
}

function claimsOf(runs: Runs): Claim[] {
  const of = (name: Variant, key: "kurtosis" | "nearZero" | "largest") =>
    runs[name].map(({ weights }) => mean(weights.map((layer) => layer[key])));
  const [plain, companded] = ["plain", "companded"] as const;
  const lower = (claim: string, metric: string, key: "kurtosis" | "nearZero" | "largest", margin: number) =>
    judge({
      claim,
      metric,
      baseline: [plain, of(plain, key)],
      measured: [companded, of(companded, key)],
      effect: logRatio(of(plain, key), of(companded, key), margin),
      test: `log ratio against log ${margin}`,
    });
  const losses = (name: Variant) => runs[name].map(({ testLoss }) => testLoss);
  return [
    lower(
      "Weights are flatter distributed: their kurtosis is lower by a third",
      "kurtosis of weights, mean over layers",
      "kurtosis",
      1.5,
    ),
    lower("Fewer weights are idle", "share of weights below 0.1 σ", "nearZero", 1),
    lower("The largest weights are smaller, by a third", "max |w| / σ", "largest", 1.5),
    judge({
      claim: "The held-out loss is lower",
      metric: "held-out cross-entropy (nats)",
      baseline: [plain, losses(plain)],
      measured: [companded, losses(companded)],
      effect: paired(losses(plain), losses(companded), (a, b) => a - b),
      test: "difference",
    }),
    exact({
      claim: "Baked after training, the layers are ordinary ones with the same outputs",
      metric: "largest difference of logits, relative to the largest logit",
      label: companded,
      values: runs[companded].map(({ baked }) => baked),
      limit: 1e-5,
    }),
  ];
}

const section = (runs: Runs): Section => ({
  title: "Weights after training",
  prose: [
    "Plain weights are normally distributed, most of them small and a few large. Companded ones are pushed out of the middle and held back at the ends.",
  ],
  figures: [lossCurves(runs, { title: "Training loss", caption: "All of them fit the 500 points.", unit: "nats" })],
  tables: [
    {
      title: "By layer",
      caption: "Means over seeds.",
      columns: ["model", "layer", "kurtosis", "share below 0.1 σ", "max |w| / σ", "held-out loss"],
      rows: variants.flatMap((name) =>
        (runs[name][0]?.weights ?? []).map(({ path }, l) => {
          const of = (key: "kurtosis" | "nearZero" | "largest") =>
            mean(runs[name].map(({ weights }) => (weights[l] as WeightStatistics)[key]));
          const loss = mean(runs[name].map(({ testLoss }) => testLoss));
          return [name, path, of("kurtosis"), of("nearZero"), of("largest"), loss];
        }),
      ),
    },
  ],
});

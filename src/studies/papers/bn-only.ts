/** Training BatchNorm and only BatchNorm: what gains and biases can do with random features, against as many random weights. */
import type { Claim } from "../../catalogue/claim.js";
import { cifarResNet } from "../../models/index.js";
import { featureReport, initializeRandomFeatures, type Module, type TrainedPart, trainOnly } from "../../nn/index.js";
import { sgd } from "../../optim/index.js";
import { accuracyClaim, accuracyTable, type ClassifierRun, compareClassifiers, shapeTask } from "../image-lab.js";
import { judge } from "../judge.js";
import { mean } from "../statistics.js";
import { countVerdicts, type PaperStudy, type StudyContext } from "../study.js";
import type { Section } from "../study-report.js";
import { lossCurves } from "../train-run.js";

export const study: PaperStudy = {
  paper: "bn-only",
  title: "Only the norms trained: what random features can do",
  summary: countVerdicts,
  limits: [
    "The paper trains up to 866 layers on CIFAR-10 and ImageNet; here are 8 and 20 layers of width 8 on drawn shapes.",
    "That a third of the features end up switched off needs more than twenty passes over the data; the share is told, not judged.",
  ],
  async run(context) {
    const runs = await compareClassifiers(context, models, {
      seeds: context.seeds,
      task: (seed) => shapeTask({ train: 3000, test: 600, batch: 64, size: 14, seed }),
      steps: stepsOf(context),
      optimizer: (parameters, learningRate) => sgd(parameters, { learningRate, momentum: 0.9 }),
      learningRate: 0.1,
      // A tenth after half of the steps, a hundredth after three quarters.
      schedule: (step) => (step < stepsOf(context) / 2 ? 1 : step < (3 * stepsOf(context)) / 4 ? 0.1 : 0.01),
    });
    const disabled = await disabledFeatures(runs);
    return {
      setup: [
        { label: "Pictures", value: "six drawn shapes of 14 × 14 pixels: 3000 to learn from, 600 held out" },
        { label: "Model", value: "ResNet-8 and ResNet-20 of width 8 with uniform first gains" },
        {
          label: "Training",
          value: `${stepsOf(context)} steps of 64, SGD at 0.1 with momentum 0.9, a tenth after half and again after three quarters`,
        },
        { label: "Seeds", value: String(context.seeds.length) },
      ],
      claims: claimsOf(runs),
      sections: [section(runs, disabled)],
    };
  },
};

const stepsOf = ({ quick, steps = quick ? 60 : 250 }: StudyContext): number => steps;

const model =
  (depth: number, part: TrainedPart) =>
  (seed: number): Module => {
    const net = cifarResNet({ depth, width: 8, classes: 6 });
    initializeRandomFeatures(net, { seed });
    // The control: as many weights of each filter as a channel has gain and bias.
    trainOnly(net, typeof part === "object" && "random" in part ? { ...part, seed } : part);
    return net;
  };

const models = {
  "8 layers, norms": model(8, "bn"),
  "8 layers, as many weights": model(8, { random: 2 }),
  "20 layers, norms": model(20, "bn"),
  "20 layers, as many weights": model(20, { random: 2 }),
  "20 layers, output layer": model(20, "output"),
  "20 layers, gains": model(20, "gamma"),
  "20 layers, biases": model(20, "beta"),
  "20 layers, everything": model(20, "all"),
};
type Name = keyof typeof models;
type Runs = Readonly<Record<Name, readonly ClassifierRun[]>>;

function claimsOf(runs: Runs): Claim[] {
  const accuracy = (name: Name) => runs[name].map((run) => run.accuracy);
  const growth = (deep: Name, shallow: Name) => accuracy(deep).map((a, i) => a - (accuracy(shallow)[i] as number));
  const norms: Name = "20 layers, norms";
  return [
    accuracyClaim(runs, {
      claim: "Norms alone beat as many random weights by 0.1",
      high: norms,
      low: "20 layers, as many weights",
      margin: 0.1,
    }),
    accuracyClaim(runs, {
      claim: "… and the output layer alone by 0.1",
      high: norms,
      low: "20 layers, output layer",
      margin: 0.1,
    }),
    accuracyClaim(runs, { claim: "Gains and biases together beat gains alone", high: norms, low: "20 layers, gains" }),
    accuracyClaim(runs, { claim: "… and biases alone", high: norms, low: "20 layers, biases" }),
    judge({
      claim: "Norms gain more from depth than as many random weights",
      metric: "accuracy of 20 layers minus that of 8",
      baseline: ["as many weights", growth("20 layers, as many weights", "8 layers, as many weights")],
      measured: ["norms", growth(norms, "8 layers, norms")],
      effect: growth(norms, "8 layers, norms").map(
        (g, i) => g - (growth("20 layers, as many weights", "8 layers, as many weights")[i] as number),
      ),
      test: "difference",
    }),
  ];
}

/** Share of gains below 0.01, by model. */
async function disabledFeatures(runs: Runs): Promise<Readonly<Record<string, number>>> {
  const shares: Record<string, number> = {};
  for (const name of ["20 layers, norms", "20 layers, everything"] as const) {
    const reports = await Promise.all(runs[name].map((run) => featureReport(run.model)));
    shares[name] = mean(reports.map(({ disabled, total }) => disabled / total));
  }
  return shares;
}

const section = (runs: Runs, disabled: Readonly<Record<string, number>>): Section => ({
  title: "Random features, trained norms",
  prose: [
    "Every convolution keeps its random first weights; only what is named is trained.",
    ...Object.entries(disabled).map(
      ([name, share]) => `${name}: ${(100 * share).toFixed(1)} % of the gains are below 0.01 after training.`,
    ),
  ],
  figures: [lossCurves(runs, { title: "Training loss", caption: "A lower curve is better.", unit: "nats" })],
  tables: [accuracyTable(runs)],
});

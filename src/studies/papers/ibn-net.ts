/** IBN-Net: trained on one domain, tested on others. */
import { shapeArrays } from "../../data/images/shapes.js";
import type { ShiftName } from "../../data/images/shifts.js";
import { cifarResNet } from "../../models/index.js";
import { kaiming } from "../../nn/index.js";
import { domainPictures, domainSetup, domainTraining } from "../domains.js";
import { accuracyClaim, accuracyOf, batchesOf, type ClassifierRun, compareClassifiers } from "../image-lab.js";
import { imagesFigure } from "../images-figure.js";
import { judge, paired } from "../judge.js";
import { mean } from "../statistics.js";
import { countVerdicts, type PaperStudy, type StudyContext, twiceTheSeeds } from "../study.js";
import type { Section } from "../study-report.js";
import { lossCurves } from "../train-run.js";

export const study: PaperStudy = {
  paper: "ibn-net",
  title: "IBN-Net: instance norm where looks are, batch norm where content is",
  summary: countVerdicts,
  limits: [
    "The paper's gain on the training domain itself (ImageNet) cannot be seen where all models get nearly everything right.",
    "The domains are five changes of colour, light and noise; the paper goes from computer games to streets.",
  ],
  async run(context) {
    const runs = await compareClassifiers(context, models, domainTraining(context));
    const shifted = await testShifted(context, runs);
    return {
      setup: domainSetup(context),
      claims: claimsOf(runs, shifted),
      sections: [section(runs, shifted)],
    };
  },
};

const variant = (ibn?: readonly ("a" | "b" | undefined)[]) => (seed: number) => {
  const model = cifarResNet({ depth: 8, classes: 6, ...(ibn && { ibn }) });
  kaiming(model, { seed });
  return model;
};
const models = {
  BN: variant(),
  "IBN-a": variant(["a", "a", undefined]),
  "IBN-b": variant(["b", "b", undefined]),
};
type Name = keyof typeof models;
const names = Object.keys(models) as Name[];
type Runs = Readonly<Record<Name, readonly ClassifierRun[]>>;

const domains = ["lowcontrast", "tint", "dark", "bright", "noisy"] as const satisfies readonly ShiftName[];
/** By model and seed: accuracy in each domain. */
type Shifted = Readonly<Record<Name, readonly (readonly number[])[]>>;

async function testShifted(context: StudyContext, runs: Runs): Promise<Shifted> {
  const results = { BN: [], "IBN-a": [], "IBN-b": [] } as Record<Name, number[][]>;
  for (const [i, seed] of twiceTheSeeds(context).entries()) {
    const sets = domains.map((shift) => batchesOf(domainPictures(context, seed, shift)));
    for (const name of names) {
      const accuracies: number[] = [];
      for (const set of sets) accuracies.push(await accuracyOf((runs[name][i] as ClassifierRun).model, set));
      results[name].push(accuracies);
      context.signal?.throwIfAborted();
    }
  }
  return results;
}

function claimsOf(runs: Runs, shifted: Shifted) {
  const average = (name: Name) => shifted[name].map(mean);
  const away = (claim: string, high: Name, low: Name, margin: number) =>
    judge({
      claim,
      metric: "mean accuracy over five changed domains",
      baseline: [low, average(low)],
      measured: [high, average(high)],
      effect: paired(average(high), average(low), (a, b) => a - b - margin),
      test: `difference against ${margin}`,
    });
  return [
    away("On changed domains IBN-a beats batch norm by 0.1", "IBN-a", "BN", 0.1),
    away("… and IBN-b beats IBN-a by 0.05", "IBN-b", "IBN-a", 0.05),
    accuracyClaim(runs, {
      claim: "On the training domain IBN-a loses nothing (within 0.02)",
      high: "IBN-a",
      low: "BN",
      margin: -0.02,
    }),
  ];
}

const section = (runs: Runs, shifted: Shifted): Section => ({
  title: "One domain to learn from, others to be tested on",
  prose: ["The same held-out pictures, changed in five ways that training never shows."],
  figures: [
    imagesFigure({
      title: "The domains",
      caption: "The same six scenes in each.",
      rows: ([undefined, ...domains] as const).map((shift) => ({
        name: shift ?? "base",
        images: Array.from({ length: 6 }, (_, i) => pictureOf(i, shift)),
      })),
    }),
    lossCurves(runs, { title: "Training loss", caption: "On the base domain.", unit: "nats" }),
  ],
  tables: [
    {
      title: "Accuracy",
      caption: "Means over seeds.",
      columns: ["model", "base", ...domains, "mean of the changed"],
      rows: names.map((name) => [
        name,
        mean(runs[name].map(({ accuracy }) => accuracy)),
        ...domains.map((_, d) => mean(shifted[name].map((accuracies) => accuracies[d] as number))),
        mean(shifted[name].map(mean)),
      ]),
    },
  ],
});

function pictureOf(index: number, shift: ShiftName | undefined) {
  const { images } = shapeArrays(1, { first: index, ...(shift && { shift }) });
  return images.reshape(images.shape.slice(1));
}

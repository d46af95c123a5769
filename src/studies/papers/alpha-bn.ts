/** AlphaBN and Core: batch norms that mix what they learned with what they see. */
import { type AlphaBatchNorm, alphaBN, testTimeAdapt } from "../../adapt/alpha-bn.js";
import type { Claim } from "../../catalogue/claim.js";
import type { ShiftName } from "../../data/images/shifts.js";
import { takeRows } from "../../data/rows.js";
import { cifarResNet } from "../../models/index.js";
import { kaiming, type Module } from "../../nn/index.js";
import { compile } from "../../runtime/index.js";
import { inference, type NDArray, type Tensor } from "../../tensor/index.js";
import { domainPictures, domainSetup, domainTraining } from "../domains.js";
import { batchesOf, type ClassifierRun, compareClassifiers, type LabelledImages } from "../image-lab.js";
import { judge, paired } from "../judge.js";
import { mean } from "../statistics.js";
import { countVerdicts, type PaperStudy, type StudyContext, twiceTheSeeds } from "../study.js";
import type { LinesFigure, Section, Table } from "../study-report.js";

export const study: PaperStudy = {
  paper: "alpha-bn",
  title: "AlphaBN: statistics between training and test",
  summary: countVerdicts,
  limits: [
    "The shifts are changes of contrast, light and noise of drawn shapes, not the common corruptions of photographs.",
    "No code of the authors is public; the Core loss here is a reconstruction after Minimum Class Confusion.",
    "With large mixed batches the batch's own statistics are best, as expected; the mixture is for small or sorted ones.",
  ],
  async run(context) {
    const { BN: runs } = await compareClassifiers(
      context,
      {
        BN: (seed: number) => {
          const model = cifarResNet({ depth: 8, classes: 6 });
          kaiming(model, { seed });
          return model;
        },
      },
      domainTraining(context),
    );
    const curves = await weightCurves(context, runs);
    const adapted = await adapt(context, runs);
    return {
      setup: domainSetup(context),
      claims: [...weightClaims(curves), ...coreClaims(adapted)],
      sections: [weightSection(curves), adaptationSection(adapted)],
    };
  },
};

const weights = [1, 0.9, 0.7, 0.5, 0.3, 0.1, 0] as const;
const streams = {
  "lowcontrast, 2": { shift: "lowcontrast", batch: 2, sorted: false },
  "dark, 2": { shift: "dark", batch: 2, sorted: false },
  "lowcontrast, 8 sorted": { shift: "lowcontrast", batch: 8, sorted: true },
  "dark, 8 sorted": { shift: "dark", batch: 8, sorted: true },
  "lowcontrast, 64": { shift: "lowcontrast", batch: 64, sorted: false },
} as const satisfies Record<string, { shift: ShiftName; batch: number; sorted: boolean }>;
type StreamName = keyof typeof streams;
/** By stream and seed: accuracy for each source weight. */
type Curves = Readonly<Record<StreamName, readonly (readonly number[])[]>>;

/** Pictures of a class one after another: what a camera that moves on gives. */
function sortedByLabel(set: LabelledImages): LabelledImages {
  const labels = set.labels.toNumbers();
  return takeRows(
    set,
    labels.map((_, i) => i).sort((a, b) => (labels[a] as number) - (labels[b] as number) || a - b),
  );
}

async function weightCurves(context: StudyContext, runs: readonly ClassifierRun[]): Promise<Curves> {
  const curves = Object.fromEntries(Object.keys(streams).map((name) => [name, []])) as unknown as Record<
    StreamName,
    number[][]
  >;
  for (const [i, seed] of twiceTheSeeds(context).entries())
    for (const [name, { shift, batch, sorted }] of Object.entries(streams)) {
      const pictures = domainPictures(context, seed, shift);
      const set = batchesOf(sorted ? sortedByLabel(pictures) : pictures, batch);
      curves[name as StreamName].push(await accuracies((runs[i] as ClassifierRun).model, set));
      context.progress({ kind: "step", title: `source weights, seed ${seed}`, step: 1, steps: 1 });
      context.signal?.throwIfAborted();
    }
  return curves;
}

/** One program for all weights: the weight is a variable. */
async function accuracies(model: Module, batches: readonly LabelledImages[]): Promise<number[]> {
  const mixed = await alphaBN(model, { sourceWeight: 0.5 });
  const layers = [...mixed.namedModules().values()].filter(
    (module) => "source_weight" in module,
  ) as unknown as AlphaBatchNorm[];
  const program = compile(({ x }: { x: Tensor }) => ({ y: inference(() => mixed.apply(x)).argmax(-1) }));
  const result: number[] = [];
  for (const weight of weights) {
    for (const layer of layers) layer.source_weight?.set(weight);
    let [right, count] = [0, 0];
    for (const { images, labels } of batches) {
      right += matches((await program({ x: images })).y.toNumbers(), labels);
      count += labels.size;
    }
    result.push(right / count);
  }
  await program.release();
  return result;
}

const matches = (told: readonly number[], labels: NDArray): number =>
  told.filter((label, i) => label === labels.at(i)).length;

function weightClaims(curves: Curves): Claim[] {
  const names = Object.keys(streams).filter((name) => !name.endsWith("64")) as StreamName[];
  const inner = (name: StreamName) => curves[name].map((all) => Math.max(...all.slice(1, -1)));
  const ends = (name: StreamName) => curves[name].map((all) => Math.max(all[0] as number, all.at(-1) as number));
  return names.map((name) =>
    judge({
      claim: `${name}: a mixture beats both the trained and the batch's own statistics by 0.03`,
      metric: "accuracy on the changed domain, best weight",
      baseline: ["the better end", ends(name)],
      measured: ["best mixture", inner(name)],
      effect: paired(inner(name), ends(name), (a, b) => a - b - 0.03),
      test: "difference against 0.03",
    }),
  );
}

const methods = ["alpha-BN", "Core", "entropy", "Tent"] as const;
const adaptedDomains = ["lowcontrast", "dark", "noisy"] as const satisfies readonly ShiftName[];
/** By method: accuracies, domain after domain, for each seed. */
type Adapted = Readonly<Record<(typeof methods)[number], readonly (readonly number[])[]>>;

async function adapt(context: StudyContext, runs: readonly ClassifierRun[]): Promise<Adapted> {
  const results = Object.fromEntries(methods.map((name) => [name, []])) as unknown as Record<
    (typeof methods)[number],
    number[][]
  >;
  for (const [i, seed] of twiceTheSeeds(context).entries()) {
    const sets = adaptedDomains.map((shift) => batchesOf(domainPictures(context, seed, shift), 8));
    const { model } = runs[i] as ClassifierRun;
    for (const method of methods) {
      const list: number[] = [];
      for (const set of sets) list.push(await adaptedAccuracy(model as Module<[Tensor]>, method, set));
      results[method].push(list);
      const facts = [`accuracy ${mean(list).toFixed(3)}`];
      context.progress({ kind: "run", title: `${method}, seed ${seed}`, seconds: 0, facts });
      context.signal?.throwIfAborted();
    }
  }
  return results;
}

async function adaptedAccuracy(
  model: Module<[Tensor]>,
  method: (typeof methods)[number],
  batches: readonly LabelledImages[],
): Promise<number> {
  const whole = batches.filter(({ labels }) => labels.size === batches[0]?.labels.size);
  const total = whole.reduce((sum, { labels }) => sum + labels.size, 0);
  const session =
    method === "alpha-BN"
      ? await testTimeAdapt(model, { sourceWeight: 0.5, loss: (logits) => logits.sum().mul(0) })
      : await testTimeAdapt(model, {
          sourceWeight: method === "Tent" ? 0 : 0.5,
          loss: method === "Core" ? "core" : "tent",
        });
  let right = 0;
  for (const { images, labels } of whole) {
    const { logits } = await session.predict(images);
    right += matches(argmax(logits), labels);
  }
  await session.release();
  return right / total;
}

/** Of each row. */
function argmax(logits: NDArray): number[] {
  const [rows, classes] = logits.shape as [number, number];
  const values = logits.toNumbers();
  return Array.from({ length: rows }, (_, i) => {
    const row = values.slice(i * classes, (i + 1) * classes);
    return row.indexOf(Math.max(...row));
  });
}

function coreClaims(adapted: Adapted): Claim[] {
  const gains = adapted.Core.map((list, i) => list.map((a, d) => a - (adapted["alpha-BN"][i]?.[d] as number)));
  const all = (name: keyof Adapted) => adapted[name].map(mean);
  return [
    judge({
      claim: "Core's updates on top gain at least 0.01 in the mean of three domains",
      metric: "mean accuracy on changed domains, batches of 8",
      baseline: ["alpha-BN", all("alpha-BN")],
      measured: ["Core", all("Core")],
      effect: paired(all("Core"), all("alpha-BN"), (a, b) => a - b - 0.01),
      test: "difference against 0.01",
    }),
    judge({
      claim: "… and harm in none (at most 0.005 below)",
      metric: "accuracy with Core minus without, the worst domain",
      baseline: ["alpha-BN", [0]],
      measured: ["Core", gains.map((list) => Math.min(...list))],
      effect: gains.map((list) => Math.min(...list) + 0.005),
      test: "difference against -0.005",
    }),
  ];
}

function weightSection(curves: Curves): Section {
  const figure: LinesFigure = {
    kind: "lines",
    title: "Accuracy over the source weight",
    caption: "1: the statistics of training; 0: the batch's own. Small or sorted batches want something between.",
    x: { label: "source weight" },
    y: { label: "accuracy" },
    series: (Object.keys(streams) as StreamName[]).map((name) => ({
      key: name,
      name,
      runs: curves[name].map((y) => ({ x: [...weights].reverse(), y: [...y].reverse() })),
    })),
  };
  return {
    title: "How much to believe the batch",
    prose: [
      "A network trained on one domain is shown another, in batches of 2, 8 or 64, mixed or one class after another.",
    ],
    figures: [figure],
  };
}

function adaptationSection(adapted: Adapted): Section {
  const table: Table = {
    title: "Adapting while it is used",
    caption: "Accuracy in batches of 8, means over seeds. Tent is the entropy with the batch's statistics alone.",
    columns: ["method", ...adaptedDomains, "mean"],
    rows: methods.map((name) => [
      name,
      ...adaptedDomains.map((_, d) => mean(adapted[name].map((list) => list[d] as number))),
      mean(adapted[name].map(mean)),
    ]),
  };
  return {
    title: "Learning from what is seen",
    prose: ["After each batch the gains and biases take one step of a loss without labels."],
    tables: [table],
  };
}

/** Region Normalization: what a hole does to a norm's statistics, and to learning to fill it. */
import type { Claim } from "../../catalogue/claim.js";
import { squareMask } from "../../data/images/index.js";
import { type InpaintGenerator, type PatchDiscriminator, patchDiscriminator } from "../../models/index.js";
import { batchNorm, Conv2d, kaiming, regionNorm, withInputs } from "../../nn/index.js";
import { discriminatorLoss, generatorLoss, holeL1 } from "../../objectives/index.js";
import { adam } from "../../optim/index.js";
import { compile } from "../../runtime/index.js";
import { grad, inference, NDArray, stopGradient, type Tensor, training } from "../../tensor/index.js";
import {
  type Filler,
  fillers,
  fillerWith,
  type HoleBatch,
  holeScenes,
  sceneBatches,
  sceneSize,
  unseenScenes,
} from "../hole-scenes.js";
import { imagesFigure } from "../images-figure.js";
import { exact, judge, paired } from "../judge.js";
import { mean } from "../statistics.js";
import { countVerdicts, type PaperStudy, type StudyContext } from "../study.js";
import type { ImagesFigure, LinesFigure, Table } from "../study-report.js";
import { lossCurves, meanOver, type Trained, trainRun } from "../train-run.js";

const batch = 8;
const unseen = 256;

export const study: PaperStudy = {
  paper: "region-norm",
  title: "Region Normalization: statistics that a hole does not shift",
  summary: countVerdicts,
  limits: [
    "Scenes of 32 × 32 pixels and a generator of width 8 with 2 residual blocks say nothing about photographs; the paper's tables were not at hand, and none of their numbers is compared.",
    "Batch norm has its batch's statistics in inference, too, as region norm has.",
    "The adversarial run is one seed and short: it shows that both networks train, not that pictures become sharper.",
  ],
  async run(context) {
    const { quick, seeds, steps = quick ? 60 : 600 } = context;
    const shifts = await measureShifts(context);
    const runs = await trainFillers(context, steps);
    const duel = await trainAgainst(context, Math.max(10, Math.round(steps / 3)));
    return {
      setup: [
        { label: "Scenes", value: `${sceneSize} × ${sceneSize}: a coloured gradient with three disks or squares` },
        { label: "Holes", value: "2 to 4 rectangles, about a fifth of the pixels, filled with 1" },
        { label: "Model", value: "the paper's generator with width 8 and 2 residual blocks" },
        {
          label: "Training",
          value: `${steps} steps of ${batch} fresh scenes, Adam (0.5, 0.9) at 2e-3, L1 in the hole`,
        },
        { label: "Seeds", value: String(seeds.length) },
      ],
      claims: [...shiftClaims(shifts), ...fillingClaims(runs)],
      sections: [
        {
          title: "The shift, without any training",
          prose: [
            "A random convolution sees 32 scenes with a square hole in the middle, filled with 1, and a norm follows. The valid pixels should come out with mean 0 and variance 1: with batch norm they do not, and the larger the hole the less.",
          ],
          figures: [shiftFigure(shifts)],
          tables: [shiftTable(shifts)],
        },
        {
          title: "Learning to fill holes",
          prose: [
            "The same generator, with the same first weights and scenes, with each norm in the place of all its norms.",
          ],
          figures: [
            lossCurves(runs, { title: "L1 in the hole", caption: "A lower curve is better.", unit: "of 1" }),
            filledFigure(runs),
          ],
          tables: [fillingTable(runs)],
        },
        {
          title: "Against a discriminator",
          prose: [
            `${duel.l1.length} steps of the paper's training: both networks updated in one step, each against the other as it was before; the discriminator with spectral norm.`,
          ],
          figures: [duelFigure(duel)],
        },
      ],
    };
  },
};

const ratios = [0.1, 0.2, 0.3, 0.4, 0.5] as const;
const inits = [0, 1, 2] as const;

/** Of the valid pixels after a norm, for every first value of the convolution and every ratio of the hole. */
interface Shift {
  readonly init: number;
  readonly ratio: number;
  /** Mean over channels of |mean| and of the variance. */
  readonly batch: readonly [mean: number, variance: number];
  readonly region: readonly [mean: number, variance: number];
}

async function measureShifts({ signal }: Pick<StudyContext, "signal">): Promise<Shift[]> {
  const count = 32;
  const { gt } = holeScenes(0, count, 0);
  const shifts: Shift[] = [];
  for (const init of inits) {
    const conv = new Conv2d(3, 16, 7, { padding: 3, bias: false });
    kaiming(conv, { seed: init });
    const norms = { batch: batchNorm(16, { affine: false }), region: regionNorm(16) };
    const program = compile(({ gt, mask }: { gt: Tensor; mask: Tensor }) => {
      const valid = mask.mul(-1).add(1);
      const features = conv.apply(gt.mul(valid).add(mask));
      const of = (y: Tensor) => {
        const average = (z: Tensor) => z.mul(valid).sum([0, 2, 3], { keepDims: true }).div(valid.sum());
        const mu = average(y);
        return { mean: mu.abs().mean(), variance: average(y.sub(mu).square()).mean() };
      };
      const [b, r] = training(() =>
        withInputs({ region: mask }, () => [of(norms.batch.apply(features)), of(norms.region.apply(features))]),
      ) as [ReturnType<typeof of>, ReturnType<typeof of>];
      return { batchMean: b.mean, batchVariance: b.variance, regionMean: r.mean, regionVariance: r.variance };
    });
    try {
      for (const ratio of ratios) {
        signal?.throwIfAborted();
        const { data } = squareMask([sceneSize, sceneSize], ratio);
        const mask = NDArray.from(Array.from({ length: count }, () => Array.from(data)).flat(), "float32", [
          count,
          1,
          sceneSize,
          sceneSize,
        ]);
        const seen = await program({ gt, mask });
        shifts.push({
          init,
          ratio,
          batch: [seen.batchMean.item(), seen.batchVariance.item()],
          region: [seen.regionMean.item(), seen.regionVariance.item()],
        });
      }
    } finally {
      await program.release();
    }
  }
  return shifts;
}

function shiftClaims(shifts: readonly Shift[]): Claim[] {
  const growth = inits.flatMap((init) => {
    const of = shifts.filter((shift) => shift.init === init).map(({ batch }) => batch[0]);
    return of.slice(1).map((value, i) => value - (of[i] as number));
  });
  return [
    exact({
      claim: "After region norm the valid pixels have mean 0, whatever the size of the hole",
      metric: "mean over channels of |mean of the valid pixels|, per first weights and hole",
      label: "region norm",
      values: shifts.map(({ region }) => region[0]),
      limit: 1e-5,
    }),
    exact({
      claim: "… and variance 1 (within 0.001)",
      metric: "distance of their mean variance from 1, per first weights and hole",
      label: "region norm",
      values: shifts.map(({ region }) => Math.abs(region[1] - 1)),
      limit: 1e-3,
    }),
    exact({
      claim: "After batch norm the mean of the valid pixels is shifted, the more the larger the hole is",
      metric: "by how much the shift falls from one hole to the next larger one",
      label: "batch norm",
      values: growth.map((value) => -value),
      limit: 0,
    }),
  ];
}

const overInits = (shifts: readonly Shift[], of: (shift: Shift) => number): number[] =>
  ratios.map((ratio) => mean(shifts.filter((shift) => shift.ratio === ratio).map(of)));

const shiftFigure = (shifts: readonly Shift[]): LinesFigure => ({
  kind: "lines",
  title: "Mean of the valid pixels",
  caption: "0 is what a norm is for. One faint line for each random convolution.",
  x: { label: "share of the hole" },
  y: { label: "mean over channels of |mean|" },
  series: (["batch", "region"] as const).map((kind) => ({
    key: kind === "batch" ? "Batch norm" : "Region norm",
    name: kind === "batch" ? "Batch norm" : "Region norm",
    runs: inits.map((init) => ({
      x: ratios,
      y: shifts.filter((shift) => shift.init === init).map((shift) => shift[kind][0]),
    })),
  })),
});

const shiftTable = (shifts: readonly Shift[]): Table => ({
  title: "Valid pixels after each norm",
  caption: "Means over the random convolutions.",
  columns: ["", ...ratios.map((ratio) => `hole ${ratio}`)],
  rows: (["batch", "region"] as const).flatMap((kind) =>
    (["|mean|", "variance"] as const).map((name, i) => [
      `${kind === "batch" ? "Batch norm" : "Region norm"}, ${name}`,
      ...overInits(shifts, (shift) => shift[kind][i] as number),
    ]),
  ),
});

interface FillerRun extends Trained {
  /** On unseen scenes: L1 in the hole, and PSNR of the whole image in dB. */
  readonly l1: number;
  readonly psnr: number;
  /** Some unseen scenes filled, [3, H, W] each. */
  readonly filled: readonly NDArray[];
}

type FillerRuns = Readonly<Record<Filler, readonly FillerRun[]>>;

async function trainFillers(context: StudyContext, steps: number): Promise<FillerRuns> {
  const runs: Record<Filler, FillerRun[]> = { "Region norm": [], "Batch norm": [], "Instance norm": [] };
  for (const seed of context.seeds)
    for (const norm of fillers) {
      const title = `${norm}, seed ${seed}`;
      const model = fillerWith(norm, seed);
      const trained = await trainRun(context, {
        title,
        model,
        loss: ({ gt, mask }) => holeL1(gt as Tensor, model.apply(gt as Tensor, mask as Tensor), mask as Tensor),
        data: (start) => sceneBatches(batch, seed, start),
        optimizer: (parameters, learningRate) => adam(parameters, { learningRate, betas: [0.5, 0.9] }),
        learningRate: 2e-3,
        steps,
        seed,
      });
      const run = { ...trained, ...(await judgeFilling(model)) };
      runs[norm].push(run);
      const facts = [`L1 ${run.l1.toFixed(3)}`, `PSNR ${run.psnr.toFixed(1)} dB`];
      context.progress({ kind: "run", title, seconds: trained.seconds, facts });
    }
  return runs;
}

/** pred in the hole, gt elsewhere. */
const merged = (model: InpaintGenerator, gt: Tensor, mask: Tensor): Tensor =>
  model
    .apply(gt, mask)
    .mul(mask)
    .add(gt.mul(mask.mul(-1).add(1)));

async function judgeFilling(model: InpaintGenerator): Promise<Omit<FillerRun, keyof Trained>> {
  const scenes = unseenScenes(unseen, batch);
  const of = (measure: (gt: Tensor, image: Tensor, mask: Tensor) => Tensor) =>
    meanOver(scenes.map(asBatch), ({ gt, mask }) =>
      measure(gt as Tensor, merged(model, gt as Tensor, mask as Tensor), mask as Tensor),
    );
  const l1 = await of((gt, image, mask) => holeL1(gt, image, mask));
  const psnr = await of((gt, image) =>
    gt
      .sub(image)
      .square()
      .mean([1, 2, 3])
      .maximum(1e-12)
      .log()
      .mean()
      .mul(-10 / Math.LN10),
  );
  const program = compile(({ gt, mask }: { gt: Tensor; mask: Tensor }) => ({
    image: inference(() => merged(model, gt, mask)),
  }));
  const { image } = await program(scenes[0] as HoleBatch);
  await program.release();
  return { l1, psnr, filled: entries(image) };
}

const asBatch = ({ gt, mask }: HoleBatch) => ({ gt, mask });

/** Images of a batch, [C, H, W] each. */
const entries = (images: NDArray): NDArray[] => {
  const [count = 0, ...shape] = images.shape;
  const size = images.size / count;
  const values = images.toNumbers();
  return Array.from({ length: count }, (_, i) =>
    NDArray.from(values.slice(i * size, (i + 1) * size), "float32", shape),
  );
};

function fillingClaims(runs: FillerRuns): Claim[] {
  const l1 = (norm: Filler) => runs[norm].map((run) => run.l1);
  const better = (claim: string, norm: Filler, than: Filler) =>
    judge({
      claim,
      metric: `L1 in the hole, ${unseen} unseen scenes`,
      baseline: [than, l1(than)],
      measured: [norm, l1(norm)],
      effect: paired(l1(than), l1(norm), (a, b) => Math.log(a / b)),
      test: "log ratio",
    });
  return [
    better("A generator with region norms fills holes better than one with batch norms", "Region norm", "Batch norm"),
    better("… and than one with instance norms", "Region norm", "Instance norm"),
    better("Statistics of the batch are better here than those of one image", "Batch norm", "Instance norm"),
  ];
}

const fillingTable = (runs: FillerRuns): Table => ({
  title: `On ${unseen} unseen scenes`,
  caption: "Means over seeds.",
  columns: ["norm", "L1 in the hole", "PSNR (dB)"],
  rows: fillers.map((norm) => [norm, mean(runs[norm].map(({ l1 }) => l1)), mean(runs[norm].map(({ psnr }) => psnr))]),
});

function filledFigure(runs: FillerRuns): ImagesFigure {
  const { gt, mask } = unseenScenes(batch, batch)[0] as HoleBatch;
  const area = sceneSize ** 2;
  const holed = NDArray.from(
    gt.toNumbers().map((value, i) => (mask.at(Math.floor(i / (3 * area)) * area + (i % area)) === 1 ? 1 : value)),
    "float32",
    gt.shape,
  );
  return imagesFigure({
    title: "Unseen scenes, filled",
    caption: "What each generator of the first seed makes of the same holes; the rest is as given.",
    rows: [
      { name: "with holes", images: entries(holed) },
      ...fillers.map((norm) => ({ name: norm, images: runs[norm][0]?.filled ?? [] })),
      { name: "true", images: entries(gt) },
    ],
  });
}

interface Duel {
  readonly l1: number[];
  readonly generator: number[];
  readonly discriminator: number[];
}

/** The paper's training with both networks, small. */
async function trainAgainst({ signal, progress }: StudyContext, steps: number): Promise<Duel> {
  const [generator, discriminator] = [fillerWith("Region norm", 0), patchDiscriminator({ width: 8 })];
  const step = adversarialStep(generator, discriminator);
  const seen: Duel = { l1: [], generator: [], discriminator: [] };
  try {
    for await (const scenes of sceneBatches(batch, 0)) {
      signal?.throwIfAborted();
      const { l1, fooled, lossD } = await step(scenes);
      seen.l1.push(l1.item());
      seen.generator.push(fooled.item());
      seen.discriminator.push(lossD.item());
      progress({ kind: "step", title: "adversarial", step: seen.l1.length, steps, loss: l1.item() });
      if (seen.l1.length === steps) break;
    }
  } finally {
    await step.release();
  }
  return seen;
}

/** L_D = (BCE(D(gt), 1) + BCE(D(stop(pred)), 0)) / 2,  L_G = L1 in the hole + 0.1 BCE(D(pred), 1). */
function adversarialStep(generator: InpaintGenerator, discriminator: PatchDiscriminator) {
  const optimizerG = adam(generator.parameters(), { learningRate: 2e-3, betas: [0, 0.9] });
  const optimizerD = adam(discriminator.parameters(), { learningRate: 2e-4, betas: [0, 0.9] });
  return compile(({ gt, mask }: { gt: Tensor; mask: Tensor }) =>
    training(() => {
      const pred = generator.apply(gt, mask);
      const lossD = discriminatorLoss(discriminator.logits(gt), discriminator.logits(stopGradient(pred)));
      const l1 = holeL1(gt, pred, mask);
      const fooled = generatorLoss(discriminator.logits(pred));
      optimizerD.update(grad(lossD, discriminator.parameters()));
      optimizerG.update(grad(l1.add(fooled.mul(0.1)), generator.parameters()));
      return { lossD, l1, fooled };
    }),
  );
}

const duelFigure = ({ l1, generator, discriminator }: Duel): LinesFigure => ({
  kind: "lines",
  title: "Losses of both networks",
  caption: "ln 2 = 0.69 for the two adversarial losses means that the discriminator cannot tell.",
  x: { label: "step" },
  y: { label: "loss" },
  series: Object.entries({ "L1 in the hole": l1, "generator against": generator, discriminator }).map(([name, y]) => ({
    key: name,
    name,
    runs: [{ x: y.map((_, i) => i + 1), y }],
  })),
  smooth: 9,
});

/** SLAB: from LayerNorm to norms that fold away, and attention that is linear in the patches, in a small vision transformer. */
import type { Claim } from "../../catalogue/claim.js";
import { type ViT, vit } from "../../models/index.js";
import { Attention, foldNorms, Norm, type NormOption, prepbn, simplifiedLinearAttention } from "../../nn/index.js";
import { adamW } from "../../optim/index.js";
import { compile } from "../../runtime/index.js";
import { inference, normalArray, type Tensor } from "../../tensor/index.js";
import { schedule } from "../../train/schedule.js";
import { relativeError } from "../golden/case.js";
import { accuracyClaim, accuracyTable, type ClassifierRun, compareClassifiers, shapeTask } from "../image-lab.js";
import { exact, judge } from "../judge.js";
import { countVerdicts, type PaperStudy, type StudyContext, twiceTheSeeds } from "../study.js";
import type { LinesFigure } from "../study-report.js";
import { lossCurves, outputsOf } from "../train-run.js";

export const study: PaperStudy = {
  paper: "slab",
  title: "SLAB: norms that fold away and attention linear in the patches",
  summary: countVerdicts,
  limits: [
    "That plain BatchNorm collapses in a large transformer, which PRepBN is made to avoid, does not happen at three blocks of width 32: short runs favour BatchNorm.",
    "The paper's speed is that of accelerators at 224 × 224 pixels and more; here are two processor cores.",
  ],
  async run(context) {
    const runs = await compareClassifiers(context, models(context), {
      seeds: twiceTheSeeds(context),
      task: (seed) => shapeTask({ train: 3000, test: 600, batch: 24, size, seed }),
      steps: stepsOf(context),
      optimizer: (parameters, learningRate) => adamW(parameters, { learningRate, weightDecay: 0.05 }),
      learningRate: 2e-3,
      schedule: schedule.cosine({ steps: stepsOf(context), warmup: Math.min(20, Math.ceil(stepsOf(context) / 10)) }),
    });
    const folded = await foldAll([...runs["PRepBN, softmax"], ...runs["PRepBN, linear"]]);
    const costs = await attentionCosts(context);
    return {
      setup: [
        { label: "Pictures", value: `six drawn shapes of ${size} × ${size} pixels: 3000 to learn from, 600 held out` },
        {
          label: "Model",
          value: "vision transformer of 3 blocks, width 32, 4 heads, patches of 4, mean of the patches",
        },
        {
          label: "Training",
          value: `${stepsOf(context)} steps of 24, AdamW at 0.002 with decay 0.05, cosine; PRepBN mixes over ${mixed(context)} of them`,
        },
        { label: "Seeds", value: String(twiceTheSeeds(context).length) },
      ],
      claims: [
        accuracyClaim(runs, {
          claim: "With the same norm, linear attention with its convolution beats softmax attention by 0.1",
          high: "PRepBN, linear",
          low: "PRepBN, softmax",
          margin: 0.1,
        }),
        accuracyClaim(runs, {
          claim: "PRepBN ends not behind LayerNorm (softmax, within 0.02)",
          high: "PRepBN, softmax",
          low: "LayerNorm, softmax",
          margin: -0.02,
        }),
        accuracyClaim(runs, {
          claim: "… nor with linear attention (within 0.02)",
          high: "PRepBN, linear",
          low: "LayerNorm, linear",
          margin: -0.02,
        }),
        exact({
          claim: "After training every norm folds away, with the same logits",
          metric: "largest difference of logits, relative to the largest logit",
          label: "folded",
          values: folded,
          limit: 1e-4,
        }),
        ...costClaims(costs),
      ],
      sections: [
        {
          title: "Norms and attention",
          prose: ["The same small vision transformer with each norm and each attention."],
          figures: [lossCurves(runs, { title: "Training loss", caption: "A lower curve is better.", unit: "nats" })],
          tables: [accuracyTable(runs)],
        },
        {
          title: "The cost of attention",
          prose: ["One layer of width 64 with 4 heads, forward, over more and more patches."],
          figures: [costFigure(costs)],
        },
      ],
    };
  },
};

const size = 20;
const stepsOf = ({ quick, steps = quick ? 60 : 600 }: StudyContext): number => steps;
/** Two thirds of the training. */
const mixed = (context: StudyContext): number => Math.max(1, Math.round((2 * stepsOf(context)) / 3));

const model =
  (norm: NormOption, attention: "softmax" | "linear") =>
  (seed: number): ViT =>
    vit({
      imageSize: size,
      patchSize: 4,
      width: 32,
      layers: 3,
      heads: 4,
      hidden: 64,
      classes: 6,
      classToken: false,
      norm,
      attention,
      seed,
    });

const models = (context: StudyContext) => {
  const progressive: NormOption = (width) => prepbn(width, { step: mixed(context), lnEps: 1e-6 });
  return {
    "LayerNorm, softmax": model("layer", "softmax"),
    "BatchNorm, softmax": model("batch", "softmax"),
    "PRepBN, softmax": model(progressive, "softmax"),
    "LayerNorm, linear": model("layer", "linear"),
    "PRepBN, linear": model(progressive, "linear"),
  };
};

/** Differences of logits after folding; throws where a norm is left. */
async function foldAll(runs: readonly ClassifierRun[]): Promise<number[]> {
  const input = normalArray({ seed: 0, site: "pictures" }, [8, 3, size, size]);
  const results: number[] = [];
  for (const { model: trained } of runs) {
    const { model: folded } = await foldNorms(trained);
    const left = [...folded.namedModules().values()].filter((module) => (module as unknown) instanceof Norm);
    const difference = relativeError(await outputsOf(folded, input), await outputsOf(trained, input));
    results.push(left.length === 0 ? difference : Number.POSITIVE_INFINITY);
  }
  return results;
}

interface Costs {
  readonly tokens: readonly number[];
  /** Milliseconds by kind, one list per number of tokens. */
  readonly softmax: readonly (readonly number[])[];
  readonly linear: readonly (readonly number[])[];
}

async function attentionCosts({ quick, signal }: StudyContext): Promise<Costs> {
  const sides = quick ? [16, 32] : [16, 32, 64];
  const rounds = quick ? 5 : 9;
  const costs = { tokens: sides.map((side) => side ** 2), softmax: [] as number[][], linear: [] as number[][] };
  for (const side of sides) {
    const layers = {
      softmax: new Attention(64, { heads: 4, bias: true }),
      linear: simplifiedLinearAttention({ dim: 64, heads: 4, height: side, width: side }),
    };
    const x = normalArray({ seed: 0, site: "tokens" }, [1, side ** 2, 64]);
    const times = { softmax: [] as number[], linear: [] as number[] };
    const programs = (["softmax", "linear"] as const).map(
      (kind) => [kind, compile(({ x }: { x: Tensor }) => ({ y: inference(() => layers[kind].apply(x)) }))] as const,
    );
    for (let round = -2; round < rounds; round++)
      for (const [kind, program] of programs) {
        signal?.throwIfAborted();
        const started = performance.now();
        await program({ x });
        if (round >= 0) times[kind].push(performance.now() - started);
      }
    await Promise.all(programs.map(([, program]) => program.release()));
    costs.softmax.push(times.softmax);
    costs.linear.push(times.linear);
  }
  return costs;
}

function costClaims({ tokens, softmax, linear }: Costs): Claim[] {
  const ratio = (i: number) => (softmax[i] as number[]).map((ms, r) => ms / (linear[i]?.[r] as number));
  const [first, last] = [ratio(0), ratio(tokens.length - 1)];
  return [
    judge({
      claim: `Linear attention's advantage grows with the patches: from ${tokens[0]} to ${tokens.at(-1)}`,
      metric: "time of softmax attention / time of linear attention",
      baseline: [`${tokens[0]} patches`, first],
      measured: [`${tokens.at(-1)} patches`, last],
      effect: last.map((value, i) => Math.log(value / (first[i] as number))),
      test: "log ratio, over repeated timings in turns",
    }),
  ];
}

const costFigure = ({ tokens, softmax, linear }: Costs): LinesFigure => ({
  kind: "lines",
  title: "Time of one layer",
  caption: "Softmax attention grows with the square of the patches, linear attention with their number.",
  x: { label: "patches", scale: "log" },
  y: { label: "time", unit: "ms", scale: "log" },
  series: [
    { key: "softmax", name: "softmax attention", runs: transposed(softmax).map((y) => ({ x: tokens, y })) },
    { key: "linear", name: "linear attention", runs: transposed(linear).map((y) => ({ x: tokens, y })) },
  ],
});

const transposed = (rows: readonly (readonly number[])[]): number[][] =>
  (rows[0] ?? []).map((_, i) => rows.map((row) => row[i] as number));

/**
 * Small decoders that differ in their norms alone, on the text of a study: 4 blocks of width 64, 4 heads, 64 bytes of
 * context, AdamW at 0.003 with (0.9, 0.98), a short warm-up and a cosine.
 */
import type { Claim } from "../catalogue/claim.js";
import { type GPT, gpt } from "../models/index.js";
import type { NormOption } from "../nn/index.js";
import { adamW } from "../optim/index.js";
import { crossEntropy, type Tensor } from "../tensor/index.js";
import { schedule } from "../train/schedule.js";
import { judge, paired } from "./judge.js";
import type { StudyContext } from "./study.js";
import type { Fact, Section } from "./study-report.js";
import { lossCurves, meanOver, type Trained, trainRun } from "./train-run.js";

export interface TextVariant {
  readonly norm: NormOption;
  readonly placement: "pre" | "post";
}

export interface TextRun extends Trained {
  /** Nats per byte of held-out text, in inference mode. */
  readonly validationLoss: number;
}

export const textShape = { layers: 4, width: 64, heads: 4, context: 64 } as const;
const batch = 16;
/** Of matrices: 0.02 at width 768, rescaled to width 64. Approximate backward passes need it: see LOG.md. */
const firstDeviation = 0.07;

export const textSteps = ({ quick, steps = quick ? 40 : 300 }: StudyContext): number => steps;
/** Steps of the learning rate's warm-up, and of norms that have one. */
export const textWarmup = (context: StudyContext): number => Math.max(1, Math.round(textSteps(context) / 10));

/** Every variant from every seed; runs of one seed read the same batches. */
export async function compareTextNorms<Name extends string>(
  context: StudyContext,
  variants: Readonly<Record<Name, TextVariant>>,
): Promise<Record<Name, TextRun[]>> {
  const runs = {} as Record<Name, TextRun[]>;
  for (const seed of context.seeds)
    for (const [name, variant] of Object.entries(variants) as [Name, TextVariant][]) {
      const title = `${name}, seed ${seed}`;
      const run = await trainVariant(context, variant, seed, title);
      runs[name] = [...(runs[name] ?? []), run];
      context.progress({ kind: "run", title, seconds: run.seconds, facts: [`val ${run.validationLoss.toFixed(3)}`] });
    }
  return runs;
}

async function trainVariant(
  context: StudyContext,
  { norm, placement }: TextVariant,
  seed: number,
  title: string,
): Promise<TextRun> {
  const { data } = await context.laboratory();
  const steps = textSteps(context);
  const options = { ...textShape, vocabulary: data.vocabulary, norm, placement, seed } as const;
  const model: GPT = gpt({ ...options, mlp: "gelu", bias: true, initialization: { std: firstDeviation } });
  const loss = ({ tokens, targets }: Readonly<Record<string, Tensor>>) =>
    crossEntropy(model.apply(tokens as Tensor), targets as Tensor);
  const trained = await trainRun(context, {
    title,
    model,
    loss,
    data: (start) => data.batches({ size: batch, steps, seed, start }),
    optimizer: (parameters, learningRate) => adamW(parameters, { learningRate, betas: [0.9, 0.98] }),
    learningRate: 3e-3,
    schedule: schedule.cosine({ steps, warmup: textWarmup(context), minimum: 0.1 }),
    steps,
    seed,
  });
  const held = data.batches({ size: batch, steps: context.quick ? 4 : 16, seed: 0, split: "validation" });
  return { ...trained, validationLoss: await meanOver(held, loss) };
}

/** What was run, for a report. */
export const textSetup = async (context: StudyContext): Promise<Fact[]> => [
  ...(await context.laboratory()).setup().slice(0, 1),
  {
    label: "Model",
    value: `decoder of ${textShape.layers} blocks, width ${textShape.width}, ${textShape.heads} heads, GELU, rotary positions, matrices N(0, ${firstDeviation}); only the norms differ`,
  },
  {
    label: "Training",
    value: `${textSteps(context)} steps of ${batch} × ${textShape.context} bytes; AdamW at 0.003 (0.9, 0.98), ${textWarmup(context)} steps of warm-up, cosine`,
  },
  { label: "Seeds", value: String(context.seeds.length) },
];

/** Claims that a run's held-out loss is below another's, or at most `within` nats above it; at least that far below where it is negative. */
export function lossClaim<Name extends string>(
  runs: Readonly<Record<Name, readonly TextRun[]>>,
  {
    claim,
    run,
    than,
    within,
    note,
  }: {
    readonly claim: string;
    readonly run: Name;
    readonly than: Name;
    readonly within: number;
    readonly note?: string;
  },
): Claim {
  const [own, other] = [run, than].map((name) => runs[name].map(({ validationLoss }) => validationLoss)) as [
    number[],
    number[],
  ];
  return judge({
    claim,
    metric: "held-out loss (nats per byte)",
    baseline: [than, other],
    measured: [run, own],
    effect: paired(other, own, (a, b) => a + within - b),
    test: `difference against ${within}`,
    ...(note !== undefined && { note }),
  });
}

/** The curves of all variants. */
export const textSection = (runs: Readonly<Record<string, readonly TextRun[]>>): Section => ({
  title: "On text",
  prose: ["The same decoder with each norm, before and after its blocks' sub-layers."],
  figures: [lossCurves(runs, { title: "Training loss", caption: "A lower curve is better.", unit: "nats per byte" })],
});

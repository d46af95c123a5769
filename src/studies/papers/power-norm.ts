/** PowerNorm: how little its output depends on the rest of the batch, and how it trains. */
import type { Claim } from "../../catalogue/claim.js";
import { batchNorm, type Norm, powerNorm } from "../../nn/index.js";
import { compile } from "../../runtime/index.js";
import { grad, NDArray, normalArray, type Tensor, training } from "../../tensor/index.js";
import { judge, logRatio } from "../judge.js";
import { countVerdicts, type PaperStudy, type StudyContext } from "../study.js";
import type { LinesFigure } from "../study-report.js";
import {
  compareTextNorms,
  lossClaim,
  type TextRun,
  type TextVariant,
  textSection,
  textSetup,
  textShape,
  textWarmup,
} from "../text-norms.js";

export const study: PaperStudy = {
  paper: "power-norm",
  title: "PowerNorm: batch norm without the batch's noise",
  summary: countVerdicts,
  limits: [
    "The paper's gains over LayerNorm are on translation and language models of millions of parameters; at this size the two are the same.",
  ],
  async run(context) {
    const changes: Fluctuations[] = [];
    const seeds = Array.from({ length: context.quick ? 2 : 5 }, (_, seed) => seed);
    for (const seed of seeds) changes.push(await fluctuations(context, seed));
    const runs = await compareTextNorms(context, variants(context));
    return {
      setup: await textSetup(context),
      claims: [...fluctuationClaims(changes), ...trainingClaims(runs)],
      sections: [
        {
          title: "What the rest of the batch does",
          prose: [
            "One fixed text in a batch with three others that change at every step: how much its normalised features change from one step to the next. LayerNorm would be 0.",
          ],
          figures: [fluctuationFigure(changes)],
        },
        textSection(runs),
      ],
    };
  },
};

const variants = (context: StudyContext) => {
  const warmupIters = textWarmup(context);
  const { heads } = textShape;
  const power = (groups: number) => (width: number) => powerNorm(width, { warmupIters, groups });
  return {
    "LayerNorm, pre": { norm: "layer", placement: "pre" },
    "PowerNorm, pre": { norm: power(heads), placement: "pre" },
    "PowerNorm without layer-scale, pre": { norm: power(0), placement: "pre" },
    "PN-V, pre": { norm: (width: number) => powerNorm(width, { variant: "pn-v", groups: heads }), placement: "pre" },
    "LayerNorm, post": { norm: "layer", placement: "post" },
    "PowerNorm, post": { norm: power(heads), placement: "post" },
  } satisfies Record<string, TextVariant>;
};

const kinds = ["BatchNorm", "PN-V", "PowerNorm"] as const;
type Fluctuations = Readonly<Record<(typeof kinds)[number], readonly number[]>>;
const [width, length] = [64, 64];

/** Relative change of a fixed probe's output from step to step, after a third of the steps. */
async function fluctuations(context: StudyContext, seed: number): Promise<Fluctuations> {
  const steps = context.quick ? 90 : 300;
  const { data } = await context.laboratory();
  const table = normalArray({ seed, site: "embedding" }, [data.vocabulary, width]).toNumbers();
  const warmupIters = Math.round(steps / 6);
  const norms: Record<(typeof kinds)[number], Norm> = {
    BatchNorm: batchNorm(width, { axis: -1 }),
    "PN-V": powerNorm(width, { groups: 0, variant: "pn-v", warmupIters }),
    PowerNorm: powerNorm(width, { groups: 0, warmupIters }),
  };
  const step = compile(({ x }: { x: Tensor }) => {
    const outputs = kinds.map((kind) => training(() => norms[kind].apply(x)));
    // PowerNorm's statistics of gradients move in its backward pass.
    const used = outputs.map((y) => grad(y.square().sum(), [x])[0] as Tensor).reduce((a, b) => a.add(b));
    return { ...Object.fromEntries(kinds.map((kind, i) => [kind, outputs[i]?.slice({ end: 1 }) as Tensor])), used };
  });
  const seen: Record<(typeof kinds)[number], number[]> = { BatchNorm: [], "PN-V": [], PowerNorm: [] };
  let probe: number[] | undefined;
  let before: Record<string, number[]> | undefined;
  let done = 0;
  for await (const { tokens } of data.batches({ size: 4, steps, seed })) {
    context.signal?.throwIfAborted();
    const features = featuresOf(tokens, table);
    probe ??= features.slice(0, length * width);
    const x = NDArray.from([...probe, ...features.slice(probe.length)], "float32", [4, length, width]);
    const results = (await step({ x })) as unknown as Record<string, NDArray>;
    const now = Object.fromEntries(kinds.map((kind) => [kind, results[kind]?.toNumbers() as number[]]));
    if (++done > steps / 3 && before)
      for (const kind of kinds) seen[kind].push(change(now[kind] as number[], before[kind] as number[]));
    before = now;
    context.progress({ kind: "step", title: `fluctuation, seed ${seed}`, step: done, steps });
  }
  await step.release();
  return seen;
}

const change = (now: readonly number[], before: readonly number[]): number =>
  Math.hypot(...now.map((v, i) => v - (before[i] as number))) / Math.hypot(...before);

/** Each token's embedding plus three times the mean of those up to it: features that drift as a text does. */
function featuresOf(tokens: NDArray, table: readonly number[]): number[] {
  const ids = tokens.toNumbers();
  const features: number[] = [];
  for (let start = 0; start < ids.length; start += length) {
    const sum = new Float64Array(width);
    for (let t = 0; t < length; t++)
      for (let c = 0; c < width; c++) {
        const value = table[(ids[start + t] as number) * width + c] as number;
        sum[c] = (sum[c] as number) + value;
        features.push(value + (3 * (sum[c] as number)) / (t + 1));
      }
  }
  return features;
}

function fluctuationClaims(changes: readonly Fluctuations[]): Claim[] {
  const of = (kind: keyof Fluctuations) =>
    changes.map((seen) => seen[kind].reduce((a, b) => a + b, 0) / seen[kind].length);
  const less = (claim: string, kind: keyof Fluctuations, than: keyof Fluctuations, margin: number) =>
    judge({
      claim,
      metric: "relative change of a fixed text's features from step to step",
      baseline: [than, of(than)],
      measured: [kind, of(kind)],
      effect: logRatio(of(than), of(kind), margin),
      test: `log ratio against log ${margin}`,
    });
  return [
    less("Its output depends on the rest of the batch ten times less than BatchNorm's", "PowerNorm", "BatchNorm", 10),
    less("The quadratic mean alone already fluctuates less than mean and variance", "PN-V", "BatchNorm", 1),
  ];
}

const fluctuationFigure = (changes: readonly Fluctuations[]): LinesFigure => ({
  kind: "lines",
  title: "Change of a fixed text's features",
  caption: "Low: the rest of the batch does not matter.",
  x: { label: "step, from a third of the run on" },
  y: { label: "relative change", scale: "log" },
  series: kinds.map((kind) => ({
    key: kind,
    name: kind,
    runs: changes.map((seen) => ({ x: seen[kind].map((_, i) => i + 1), y: seen[kind] })),
  })),
  smooth: 5,
});

function trainingClaims(runs: Readonly<Record<keyof ReturnType<typeof variants>, readonly TextRun[]>>): Claim[] {
  return [
    lossClaim(runs, {
      claim: "Before the sub-layers it learns as well as LayerNorm (within 0.03 nats)",
      run: "PowerNorm, pre",
      than: "LayerNorm, pre",
      within: 0.03,
    }),
    lossClaim(runs, {
      claim: "After the sub-layers, too (within 0.03 nats)",
      run: "PowerNorm, post",
      than: "LayerNorm, post",
      within: 0.03,
    }),
    lossClaim(runs, {
      claim: "Layer-scale is not optional before the sub-layers: without it the loss is at least 0.1 nats higher",
      run: "PowerNorm, pre",
      than: "PowerNorm without layer-scale, pre",
      within: -0.1,
    }),
  ];
}

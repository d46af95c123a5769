/** Unified Normalization: what its filtration does, that it folds exactly, what that saves, and how it trains. */
import type { Claim } from "../../catalogue/claim.js";
import { gpt } from "../../models/index.js";
import { foldNorms, Norm, unifiedNorm } from "../../nn/index.js";
import { compile } from "../../runtime/index.js";
import { grad, inference, NDArray, normalArray, type Tensor, training } from "../../tensor/index.js";
import { relativeError } from "../golden/case.js";
import { exact, judge, paired } from "../judge.js";
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
import { outputsOf } from "../train-run.js";

export const study: PaperStudy = {
  paper: "unified-norm",
  title: "Unified Normalization: smoothed statistics that fold away",
  summary: countVerdicts,
  limits: [
    "That BatchNorm collapses where Unified Normalization does not belongs to long runs on large data, and cannot be seen here.",
    "The approximate backward pass costs something in a short pre-norm run; the released code's warm-up of 4000 steps is longer than these runs, so theirs is a tenth of the steps.",
  ],
  async run(context) {
    const seeds = Array.from({ length: context.quick ? 3 : 5 }, (_, seed) => seed);
    const outliers = [];
    for (const seed of seeds) outliers.push(await meetOutlier(seed));
    const folding = [];
    for (const seed of seeds) folding.push(await foldOne(seed));
    const latency = await timeFolded(context.quick ? 10 : 30);
    const runs = await compareTextNorms(context, variants(context));
    return {
      setup: await textSetup(context),
      claims: [...outlierClaims(outliers), ...foldClaims(folding, latency), ...trainingClaims(runs)],
      sections: [
        {
          title: "A batch thirty times as large",
          prose: [
            "Step 40 of a run on random data is multiplied by 30. Filtration keeps it out of the window, so its output has unit scale; the released rule still lets it into the running moment.",
          ],
          figures: [outlierFigure(outliers)],
        },
        textSection(runs),
      ],
    };
  },
};

const variants = (context: StudyContext) => {
  const warmupIters = textWarmup(context);
  const unified = (windowSize: number) => (width: number) => unifiedNorm(width, { warmupIters, windowSize });
  return {
    "LayerNorm, post": { norm: "layer", placement: "post" },
    "Unified, post": { norm: unified(4), placement: "post" },
    "LayerNorm, pre": { norm: "layer", placement: "pre" },
    "Unified, pre": { norm: unified(4), placement: "pre" },
    "Unified of window 1, pre": { norm: unified(1), placement: "pre" },
  } satisfies Record<string, TextVariant>;
};

/** Deviation of the output at every step, without filtration and with it. */
interface Outlier {
  readonly plain: readonly number[];
  readonly filtered: readonly number[];
}
const [outlierSteps, outlierAt, outlierChannels] = [60, 40, 32];

async function meetOutlier(seed: number): Promise<Outlier> {
  const norm = (outlierFiltration: boolean) => unifiedNorm(outlierChannels, { warmupIters: 20, outlierFiltration });
  const [plain, filtered] = [norm(false), norm(true)];
  const step = compile(({ x, upstream }: { x: Tensor; upstream: Tensor }) => {
    const outputs = training(() => [plain.apply(x), filtered.apply(x)]) as [Tensor, Tensor];
    const gradients = outputs.map((y) => grad(y.mul(upstream).sum(), [x])[0] as Tensor);
    const deviation = (y: Tensor) => y.sub(y.mean()).square().mean().sqrt();
    return {
      plain: deviation(outputs[0]),
      filtered: deviation(outputs[1]),
      used: gradients[0]?.add(gradients[1] as Tensor) as Tensor,
    };
  });
  const seen: { plain: number[]; filtered: number[] } = { plain: [], filtered: [] };
  for (let i = 1; i <= outlierSteps; i++) {
    const draw = (site: string) => normalArray({ seed, site: `${site} ${i}` }, [8, 16, outlierChannels]);
    const x = i === outlierAt ? scaled(draw("x"), 30) : draw("x");
    const result = await step({ x, upstream: draw("upstream") });
    seen.plain.push(result.plain.item());
    seen.filtered.push(result.filtered.item());
  }
  await step.release();
  return seen;
}

const scaled = (array: NDArray, factor: number): NDArray =>
  NDArray.from(
    array.toNumbers().map((value) => value * factor),
    "float32",
    array.shape,
  );

function outlierClaims(outliers: readonly Outlier[]): Claim[] {
  const at = (of: keyof Outlier) => outliers.map((outlier) => outlier[of][outlierAt - 1] as number);
  return [
    exact({
      claim: "With outlier filtration, a batch 30 times as large comes out at unit scale (within 0.1)",
      metric: "distance of its deviation from 1",
      label: "with filtration",
      values: at("filtered").map((value) => Math.abs(value - 1)),
      limit: 0.1,
    }),
    judge({
      claim: "… and without, at more than ten times that",
      metric: "deviation of its output",
      baseline: ["with filtration", at("filtered")],
      measured: ["without", at("plain")],
      effect: paired(at("plain"), at("filtered"), (a, b) => Math.log(a / b) - Math.log(10)),
      test: "log ratio against log 10",
    }),
  ];
}

const outlierFigure = (outliers: readonly Outlier[]): LinesFigure => ({
  kind: "lines",
  title: "Deviation of the output",
  caption: "1 is what a norm is for. The outlier is step 40.",
  x: { label: "step" },
  y: { label: "deviation", scale: "log" },
  series: (["plain", "filtered"] as const).map((of) => ({
    key: of,
    name: of === "plain" ? "without filtration" : "with filtration",
    runs: outliers.map((outlier) => ({ x: outlier[of].map((_, i) => i + 1), y: outlier[of] })),
  })),
});

interface Folding {
  readonly difference: number;
  /** Norms in the model before and after. */
  readonly norms: readonly [number, number];
}

const countNorms = (model: { namedModules(): ReadonlyMap<string, unknown> }): number =>
  [...model.namedModules().values()].filter((module) => module instanceof Norm).length;

/** A pre-norm decoder with statistics, gains and biases of its own. */
async function foldOne(seed: number): Promise<Folding> {
  const model = gpt({ ...textShape, vocabulary: 64, norm: "unified", bias: true, seed });
  for (const [path, variable] of model.namedVariables())
    if (/norm.*\.(weight|bias|running_var)$/.test(path)) {
      const noise = normalArray({ seed, site: path }, variable.shape).toNumbers();
      const isMoment = path.endsWith("running_var");
      variable.set(
        NDArray.from(
          noise.map((z) => (isMoment ? Math.exp(z) : 0.8 + 0.2 * z)),
          "float32",
        ),
      );
    }
  const { model: folded } = await foldNorms(model);
  const input = model.exampleInput();
  const [after, before] = [await outputsOf(folded, input), await outputsOf(model, input)];
  return { difference: relativeError(after, before), norms: [countNorms(model), countNorms(folded)] };
}

interface Latency {
  readonly layer: readonly number[];
  readonly folded: readonly number[];
}

/** Milliseconds of an inference pass of the LayerNorm twin and of the folded model, in turns. */
async function timeFolded(turns: number): Promise<Latency> {
  const shape = { ...textShape, width: 256, vocabulary: 64, bias: true } as const;
  const twins = [gpt({ ...shape, norm: "layer" }), (await foldNorms(gpt({ ...shape, norm: "unified" }))).model];
  const programs = twins.map((model) =>
    compile(({ ids }: { ids: Tensor }) => ({ y: inference(() => model.apply(ids)) })),
  );
  const ids = NDArray.zeros([4, textShape.context], "int32");
  const times: [number[], number[]] = [[], []];
  for (let turn = -5; turn < turns; turn++)
    for (const [i, program] of programs.entries()) {
      const started = performance.now();
      await program({ ids });
      if (turn >= 0) times[i]?.push(performance.now() - started);
    }
  await Promise.all(programs.map((program) => program.release()));
  return { layer: times[0], folded: times[1] };
}

function foldClaims(foldings: readonly Folding[], { layer, folded }: Latency): Claim[] {
  const [before = 0, after = 0] = foldings[0]?.norms ?? [];
  return [
    exact({
      claim: `Folded for inference, a model gives the same logits with ${after} of ${before} norms left`,
      metric: "largest difference of logits, relative to the largest logit",
      label: "folded",
      values: foldings.map(({ difference }) => difference),
      limit: 1e-5,
    }),
    judge({
      claim: "The folded model is faster than its LayerNorm twin",
      metric: "milliseconds of an inference pass, 4 blocks of width 256, 4 × 64 tokens",
      baseline: ["LayerNorm", layer],
      measured: ["folded", folded],
      effect: paired(layer, folded, (a, b) => Math.log(a / b)),
      test: "log ratio, over passes in turns",
    }),
  ];
}

function trainingClaims(runs: Readonly<Record<keyof ReturnType<typeof variants>, readonly TextRun[]>>): Claim[] {
  return [
    lossClaim(runs, {
      claim: "After the sub-layers it learns as well as LayerNorm (within 0.05 nats)",
      run: "Unified, post",
      than: "LayerNorm, post",
      within: 0.05,
    }),
    lossClaim(runs, {
      claim: "Before the sub-layers, with a window of 1, too (within 0.02 nats)",
      run: "Unified of window 1, pre",
      than: "LayerNorm, pre",
      within: 0.02,
    }),
    lossClaim(runs, {
      claim: "… and with its usual window of 4 (within 0.05 nats)",
      run: "Unified, pre",
      than: "LayerNorm, pre",
      within: 0.05,
      note: "The approximate backward pass has its price in so short a pre-norm run.",
    }),
  ];
}

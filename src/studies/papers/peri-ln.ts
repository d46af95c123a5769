/** Peri-LN: does the stream stay bounded whatever the weights, and does a high learning rate hurt less? */
import type { Claim } from "../../catalogue/claim.js";
import { compile } from "../../runtime/index.js";
import { grad, linear, normalArray, type Tensor } from "../../tensor/index.js";
import { layerHeatMap, lossCurves } from "../figures.js";
import { atDepth, initialDepth, initialVariance } from "../initial-variance.js";
import { judge, logRatio, paired } from "../judge.js";
import { high, type Laboratory, type TrainedRun } from "../laboratory.js";
import { countVerdicts, type PaperStudy } from "../study.js";
import type { LinesFigure } from "../study-report.js";

const lossOf = (run: TrainedRun): number => run.validationLoss;
const stds = [0.02, 0.08, 0.32] as const;

export const study: PaperStudy = {
  paper: "peri-ln",
  title: "Peri-LN: norms on both sides of every sublayer",
  summary: (claims) => countVerdicts(claims),
  limits: [
    "Peri-LN's gains on benchmarks, its divergence rates over many seeds and half-precision overflow need billions of tokens; nothing here speaks for or against them.",
  ],
  async run(context) {
    const laboratory = await context.laboratory();
    const initial = await initialClaims(laboratory);
    const [pre, peri] = [await laboratory.trainAll("pre", high), await laboratory.trainAll("peri", high)];
    const last = (run: TrainedRun) => run.layers.variance.at(-1) as number;
    const largest = (run: TrainedRun) => Math.max(...run.layers.maximum);
    const claims = [
      ...initial.claims,
      await selfDamping(laboratory.scale.initialSeeds),
      judge({
        claim: "At a high learning rate Peri-LN keeps the stream small: at least 5 times less variance than Pre-LN",
        metric: "variance after the last block, trained at rate 0.01",
        baseline: ["Pre-LN", pre.map(last)],
        measured: ["Peri-LN", peri.map(last)],
        effect: logRatio(pre.map(last), peri.map(last), 5),
        test: "log ratio against log 5",
      }),
      judge({
        claim: "No massive activations: the largest one at least 5 times below Pre-LN's",
        metric: "largest |activation| of the stream, trained at rate 0.01",
        baseline: ["Pre-LN", pre.map(largest)],
        measured: ["Peri-LN", peri.map(largest)],
        effect: logRatio(pre.map(largest), peri.map(largest), 5),
        test: "log ratio against log 5",
      }),
      judge({
        claim: "At a high learning rate Peri-LN learns better than Pre-LN",
        metric: "validation loss (nats per byte), trained at rate 0.01",
        baseline: ["Pre-LN", pre.map(lossOf)],
        measured: ["Peri-LN", peri.map(lossOf)],
        effect: paired(pre.map(lossOf), peri.map(lossOf), (a, b) => a - b),
        test: "difference",
      }),
    ];
    const runs = [...pre, ...peri];
    return {
      setup: laboratory.setup(),
      claims,
      sections: [
        {
          title: "The stream before any training",
          prose: [
            `${initialDepth} blocks with random weights of three sizes. Under Pre-LN what a block adds grows with the size of its weights, so the stream does too; Peri-LN normalises what is added, so its stream grows by about one per sublayer whatever the weights. With small weights Pre-LN's stream is the smaller one: Peri-LN's is controlled, not minimal.`,
          ],
          figures: [initial.figure],
        },
        {
          title: "Training with a rate that is too high",
          prose: ["Adam at a peak rate of 0.01, no clipping: three times what suits these models."],
          figures: [
            lossCurves(
              runs,
              "A lower curve is better; spikes are steps that undid what was learned.",
              "Training loss at a rate of 0.01",
            ),
            layerHeatMap(runs, "maximum", "High values after late blocks are massive activations."),
          ],
        },
      ],
    };
  },
};

async function initialClaims(laboratory: Laboratory) {
  const [pre, peri] = [await initialVariance(laboratory, "pre", stds), await initialVariance(laboratory, "peri", stds)];
  const spread = (results: typeof pre) =>
    laboratory.scale.initialSeeds.map((seed) => {
      const values = results.filter((r) => r.seed === seed).map((r) => r.variance[initialDepth] as number);
      return Math.max(...values) / Math.min(...values);
    });
  const expected = 1 + 2 * initialDepth;
  const measured = atDepth(peri, 0.08, initialDepth);
  const claims = [
    judge({
      claim: "The stream's variance does not depend on the size of the weights (at most 1.3 times over a range of 16)",
      metric: `largest / smallest variance after ${initialDepth} blocks, weights N(0, 0.02), N(0, 0.08), N(0, 0.32)`,
      baseline: ["Pre-LN", spread(pre)],
      measured: ["Peri-LN", spread(peri)],
      effect: spread(peri).map((s) => Math.log(1.3 / s)),
      test: "log 1.3 against the log of the ratio",
    }),
    judge({
      claim: "Under Pre-LN it does depend on it: more than 100 times",
      metric: "the same",
      baseline: ["Peri-LN", spread(peri)],
      measured: ["Pre-LN", spread(pre)],
      effect: spread(pre).map((s) => Math.log(s / 100)),
      test: "log of the ratio against log 100",
    }),
    judge({
      claim: "Each sublayer adds a variance of about 1, so the stream ends within 15 % of 1 + 2 per block",
      metric: `variance after ${initialDepth} blocks, weights N(0, 0.08)`,
      baseline: ["predicted", [expected]],
      measured: ["Peri-LN", measured],
      effect: measured.map((v) => 0.15 - Math.abs(v / expected - 1)),
      test: "0.15 against the relative deviation",
    }),
  ];
  const curve = (key: string, name: string, results: typeof pre, std: number) => ({
    key,
    name: `${name}, ${std}`,
    runs: results.filter((r) => r.std === std).map(({ variance }) => ({ x: variance.map((_, l) => l), y: variance })),
  });
  const figure: LinesFigure = {
    kind: "lines",
    title: "Variance of the stream at initialisation",
    caption:
      "One faint line per seed. Pre-LN's three sizes of weights end orders of magnitude apart; Peri-LN's end together.",
    x: { label: "after block" },
    y: { label: "variance", scale: "log" },
    series: stds.flatMap((std) => [curve("pre", "Pre-LN", pre, std), curve("peri", "Peri-LN", peri, std)]),
  };
  return { claims, figure };
}

/** y = x + Norm(h W₂): with W₂ scaled by s, y stays and the gradient of W₂ is divided by s, up to eps. */
async function selfDamping(seeds: readonly number[]): Promise<Claim> {
  const scale = 4;
  const program = compile(({ x, h, w, weights }: Readonly<Record<"x" | "h" | "w" | "weights", Tensor>>) => {
    const gradient = (by: number) => {
      const scaled = w.mul(by);
      return grad(x.add(linear(h, scaled).rmsNorm()).mul(weights).sum(), [scaled])[0] as Tensor;
    };
    const norm = (g: Tensor) => g.square().sum().sqrt();
    return { ratio: norm(gradient(1)).div(norm(gradient(scale))) };
  });
  const ratios: number[] = [];
  for (const seed of seeds) {
    const draw = (site: string, shape: readonly number[]) => normalArray({ seed, site }, shape);
    const feeds = {
      x: draw("x", [16, 32]),
      h: draw("h", [16, 48]),
      w: draw("w", [32, 48]),
      weights: draw("weights", [16, 32]),
    };
    ratios.push((await program(feeds)).ratio.item());
  }
  await program.release();
  return judge({
    claim: "Weights that grow damp themselves: 4 times larger output weights get a 4 times smaller gradient",
    metric: "gradient norm of W / gradient norm of 4 W",
    baseline: ["predicted", [scale]],
    measured: ["Peri-LN", ratios],
    effect: ratios.map((r) => 1e-3 - Math.abs(r / scale - 1)),
    test: "0.001 against the relative deviation",
  });
}

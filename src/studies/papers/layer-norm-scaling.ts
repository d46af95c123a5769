/** The Curse of Depth: does the stream grow with depth, do deep blocks idle, and does scaling norms by 1/√l help? */
import { angularMaps, layerHeatMap, skipBars } from "../figures.js";
import { atDepth, initialDepth, initialVariance } from "../initial-variance.js";
import { judge, logRatio, paired } from "../judge.js";
import { standard, type TrainedRun } from "../laboratory.js";
import { mean } from "../statistics.js";
import { countVerdicts, type PaperStudy } from "../study.js";
import type { LinesFigure } from "../study-report.js";

/** 1/√width: unit-gain matrices. */
const initialStd = 0.125;
const last = ({ layers }: TrainedRun): number => layers.variance.at(-1) as number;
const loss = (run: TrainedRun): number => run.validationLoss;
const deepWorth = ({ layers: { drop } }: TrainedRun): number =>
  mean(drop.delta.slice(Math.floor(drop.delta.length / 2)));
const firstWorth = ({ layers: { drop } }: TrainedRun): number => drop.delta[0] as number;
const restWorth = ({ layers: { drop } }: TrainedRun): number => Math.max(...drop.delta.slice(1));
/** How far a block turns the stream: mean over the first quarter of the blocks, and over the last. */
const turns = ({ layers: { angular } }: TrainedRun, deep: boolean): number => {
  const row = angular[0] as readonly number[];
  const quarter = Math.ceil(row.length / 4);
  return mean(deep ? row.slice(-quarter) : row.slice(0, quarter));
};

export const study: PaperStudy = {
  paper: "layer-norm-scaling",
  title: "The curse of depth, and LayerNorm Scaling",
  summary: countVerdicts,
  limits: [
    "That deep blocks contribute more under LayerNorm Scaling needs long training; the perplexities at 130M to 1B parameters are out of reach here.",
  ],
  async run(context) {
    const laboratory = await context.laboratory();
    const [freshPre, freshLns] = [
      await initialVariance(laboratory, "pre", [initialStd]),
      await initialVariance(laboratory, "lns", [initialStd]),
    ];
    const growth = (results: typeof freshPre) =>
      paired(
        atDepth(results, initialStd, initialDepth),
        atDepth(results, initialStd, initialDepth / 2),
        (end, middle) => end - middle,
      );
    const [pre, lns] = [await laboratory.trainAll("pre", standard), await laboratory.trainAll("lns", standard)];
    const claims = [
      judge({
        claim: "Scaling stops the stream's growth: at least 20 times less over the deeper half, before training",
        metric: `growth of the variance from block ${initialDepth / 2} to ${initialDepth}`,
        baseline: ["Pre-LN", growth(freshPre)],
        measured: ["LayerNorm Scaling", growth(freshLns)],
        effect: logRatio(growth(freshPre), growth(freshLns), 20),
        test: "log ratio against log 20",
      }),
      judge({
        claim: "… and after training the variance is at least 2 times smaller",
        metric: "variance after the last block",
        baseline: ["Pre-LN", pre.map(last)],
        measured: ["LayerNorm Scaling", lns.map(last)],
        effect: logRatio(pre.map(last), lns.map(last), 2),
        test: "log ratio against log 2",
      }),
      judge({
        claim: "Under Pre-LN one early block carries the model: skipping it costs 5 times what any other does",
        metric: "loss increase when a block is skipped (nats): largest of the others, and block 0",
        baseline: ["Pre-LN, others", pre.map(restWorth)],
        measured: ["Pre-LN, block 0", pre.map(firstWorth)],
        effect: paired(pre.map(firstWorth), pre.map(restWorth), (a, b) => Math.log(a / (5 * Math.max(b, 1e-6)))),
        test: "log ratio against log 5",
      }),
      judge({
        claim: "Under Pre-LN deep blocks turn the stream less than early ones",
        metric: "angular distance of neighbouring layers: first and last quarter",
        baseline: ["Pre-LN, first quarter", pre.map((run) => turns(run, false))],
        measured: ["Pre-LN, last quarter", pre.map((run) => turns(run, true))],
        effect: pre.map((run) => turns(run, false) - turns(run, true)),
        test: "difference",
      }),
      judge({
        claim: "Deep blocks contribute more with scaling",
        metric: "mean loss increase when a block of the deeper half is skipped (nats)",
        baseline: ["Pre-LN", pre.map(deepWorth)],
        measured: ["LayerNorm Scaling", lns.map(deepWorth)],
        effect: paired(lns.map(deepWorth), pre.map(deepWorth), (a, b) => a - b),
        test: "difference",
        note: "The paper trains a thousand times longer; a model this small and this briefly trained is not expected to show it.",
      }),
      judge({
        claim: "It learns better than Pre-LN",
        metric: "validation loss (nats per byte)",
        baseline: ["Pre-LN", pre.map(loss)],
        measured: ["LayerNorm Scaling", lns.map(loss)],
        effect: paired(pre.map(loss), lns.map(loss), (a, b) => a - b),
        test: "difference",
      }),
    ];
    const runs = [...pre, ...lns];
    const curve = (key: string, name: string, results: typeof freshPre) => ({
      key,
      name,
      runs: results.map(({ variance }) => ({ x: variance.map((_, l) => l), y: variance })),
    });
    const figure: LinesFigure = {
      kind: "lines",
      title: "Variance of the stream at initialisation",
      caption: "One faint line per seed. Pre-LN's stream keeps growing; with norms scaled by 1/√l it levels off.",
      x: { label: "after block" },
      y: { label: "variance", scale: "log" },
      series: [curve("pre", "Pre-LN", freshPre), curve("lns", "LayerNorm Scaling", freshLns)],
    };
    return {
      setup: laboratory.setup(),
      claims,
      sections: [
        {
          title: "How the stream grows with depth",
          prose: [
            "Under Pre-LN every block adds its share, so late blocks change a large stream by little. LayerNorm Scaling multiplies what block l reads by 1/√l.",
          ],
          figures: [
            figure,
            layerHeatMap(
              runs,
              "variance",
              "Rows towards high values with depth: the stream grows from block to block.",
            ),
          ],
        },
        {
          title: "Which blocks matter",
          prose: [
            "A block is skipped and the loss measured again; and the angle by which the stream turns from layer to layer.",
          ],
          figures: [
            skipBars(runs, "A high bar: the model needs that block. Bars near zero: it does not."),
            angularMaps(
              runs,
              "How far the stream turns between two layers. Low values at deep layers: blocks that change little.",
            ),
          ],
        },
      ],
    };
  },
};

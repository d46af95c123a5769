/** Mix-LN: are gradients more uniform over depth, and do deep blocks matter more? */
import { angularMaps, layerHeatMap, lossCurves, skipBars } from "../figures.js";
import { judge, logRatio, paired } from "../judge.js";
import { standard, type TrainedRun } from "../laboratory.js";
import { mean } from "../statistics.js";
import { countVerdicts, type PaperStudy } from "../study.js";

const deepHalf = (values: readonly number[]): number => mean(values.slice(Math.floor(values.length / 2)));
const unevenness = ({ layers }: TrainedRun): number =>
  Math.max(...layers.gradientNorm) / Math.min(...layers.gradientNorm);
const deepWorth = ({ layers }: TrainedRun): number => deepHalf(layers.drop.delta);
const loss = (run: TrainedRun): number => run.validationLoss;

export const study: PaperStudy = {
  paper: "mix-ln",
  title: "Mix-LN: Post-LN first, Pre-LN after",
  summary: countVerdicts,
  limits: [
    "Mix-LN's perplexities at 71M to 7B parameters are out of reach here. The later paper on the curse of depth could not train it stably at 350M and 1B.",
  ],
  async run(context) {
    const laboratory = await context.laboratory();
    const pre = await laboratory.trainAll("pre", standard);
    const post = await laboratory.trainAll("post", standard);
    const mix = await laboratory.trainAll("mix", standard);
    const claims = [
      judge({
        claim: "Gradients are more uniform over depth than under Pre-LN (ratio below 0.7 of its)",
        metric: "largest / smallest gradient norm over blocks",
        baseline: ["Pre-LN", pre.map(unevenness)],
        measured: ["Mix-LN", mix.map(unevenness)],
        effect: logRatio(pre.map(unevenness), mix.map(unevenness), 1 / 0.7),
        test: "log ratio against log 1/0.7",
      }),
      judge({
        claim: "… and than under Post-LN (ratio below 0.7 of its)",
        metric: "largest / smallest gradient norm over blocks",
        baseline: ["Post-LN", post.map(unevenness)],
        measured: ["Mix-LN", mix.map(unevenness)],
        effect: logRatio(post.map(unevenness), mix.map(unevenness), 1 / 0.7),
        test: "log ratio against log 1/0.7",
      }),
      judge({
        claim: "The deeper half of the blocks matters more than under Pre-LN",
        metric: "mean loss increase when a block of the deeper half is skipped (nats)",
        baseline: ["Pre-LN", pre.map(deepWorth)],
        measured: ["Mix-LN", mix.map(deepWorth)],
        effect: paired(mix.map(deepWorth), pre.map(deepWorth), (a, b) => a - b),
        test: "difference",
      }),
      judge({
        claim: "It learns better than Pre-LN, by at least 0.1 nats",
        metric: "validation loss (nats per byte)",
        baseline: ["Pre-LN", pre.map(loss)],
        measured: ["Mix-LN", mix.map(loss)],
        effect: paired(pre.map(loss), mix.map(loss), (a, b) => a - b - 0.1),
        test: "difference against 0.1",
      }),
      judge({
        claim: "It learns better than Post-LN",
        metric: "validation loss (nats per byte)",
        baseline: ["Post-LN", post.map(loss)],
        measured: ["Mix-LN", mix.map(loss)],
        effect: paired(post.map(loss), mix.map(loss), (a, b) => a - b),
        test: "difference",
        note: "The paper's advantage over Post-LN appears at 24 blocks and more, where Post-LN diverges; 12 small blocks are no test of it.",
      }),
    ];
    const runs = [...pre, ...post, ...mix];
    return {
      setup: laboratory.setup(),
      claims,
      sections: [
        {
          title: "Gradients over depth, after training and on the way",
          prose: [
            "Post-LN gives deep blocks large gradients and early ones small; Pre-LN the opposite. A quarter of Post-LN blocks first, Pre-LN after, should make them nearly uniform. Measured after training: with fresh weights the three do not differ like this.",
          ],
          figures: [
            lossCurves(runs, "A lower curve is better."),
            layerHeatMap(runs, "gradientNorm", "Even columns mean that every block gets a gradient of the same size."),
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

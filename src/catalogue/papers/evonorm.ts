import { entry } from "../paper.js";

export const evonorm = entry({
  id: "evonorm",
  title: "Evolving Normalization-Activation Layers",
  year: 2020,
  link: "https://arxiv.org/abs/2004.02967",
  kind: "normalization",
  summary:
    "Layers that normalise and activate in one formula, found by evolution over small graphs of basic operations. " +
    "B0 mixes batch and instance statistics and needs no activation; S0 looks at one sample only and does not " +
    "care about the batch size.",
  state: "done",
  exports: ["nn.evoNorm", "nn.EvoNorm", "nn.NormActGraph", "nn.convertBatchNormReLU", "searchNormAct", "stressTest"],
  when: "Convolutional networks in place of BatchNorm and its activation; S0 where batches are small. The search is for finding a layer for a network of your own.",
  example: `import { nn } from "layerwise";

const fresh = nn.cifarResNet({ depth: 20, norm: "evonorm-s0" });
const converted = nn.convertBatchNormReLU(nn.cifarResNet({ depth: 20 }), "B0");
console.log(nn.namedNormActGraphs["evonorm-b0"].formula, fresh.parameters().length, converted.parameters().length);`,
  study: "evonorm",
});

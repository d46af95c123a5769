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
  study: "evonorm",
});

import { entry } from "../paper.js";

export const layerNormScaling = entry({
  id: "layer-norm-scaling",
  title: "The Curse of Depth in Large Language Models",
  year: 2025,
  link: "https://arxiv.org/abs/2502.05795",
  kind: "placement",
  summary:
    "Shows that about half of the layers of pre-norm language models contribute little, because the variance of " +
    "the residual stream grows with depth. Multiplying the norm outputs of block l by 1/sqrt(l) stops the growth " +
    "and costs one constant per block.",
  state: "done",
  exports: ["nn.layerNormScaling", "nn.foldNormScale", "inspect.layerDiagnostics"],
  study: "layer-norm-scaling",
});

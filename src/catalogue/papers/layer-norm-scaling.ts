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
  when: "Deep Pre-LN transformers, at no cost: deep blocks add less, and so keep learning. Not together with an initialisation that scales with depth.",
  example: `import { nn } from "layerwise";

const model = nn.gpt({ layers: 8, width: 64, heads: 2, vocabulary: 256, context: 64, placement: "lns" });
const plain = await nn.foldNormScale(model);
console.log(plain.placements.map(({ kind }) => kind));`,
  study: "layer-norm-scaling",
});

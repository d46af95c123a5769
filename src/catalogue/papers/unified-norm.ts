import { entry } from "../paper.js";

export const unifiedNorm = entry({
  id: "unified-norm",
  title: "Unified Normalization for Accelerating and Stabilizing Transformers",
  year: 2022,
  link: "https://arxiv.org/abs/2208.01313",
  kind: "normalization",
  summary:
    "Divides each channel by a smoothed second moment, the geometric mean of the last batches, and never " +
    "subtracts a mean. At inference the layer folds into the next linear one, so a transformer keeps its accuracy " +
    "and loses the cost of its norms.",
  state: "done",
  exports: ["nn.unifiedNorm", "nn.UnifiedNorm", "nn.foldNorms"],
  study: "unified-norm",
});

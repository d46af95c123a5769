import { entry } from "../paper.js";

export const weightCompander = entry({
  id: "weight-compander",
  title: "Weight Compander: A Simple Weight Reparameterization for Regularization",
  year: 2023,
  link: "https://arxiv.org/abs/2306.16993",
  kind: "normalization",
  summary:
    "Writes each weight as an odd, saturating function of the number that is trained: large weights are held " +
    "back, small ones pushed outward. It regularises without a penalty term and disappears after training, when " +
    "the function is applied once.",
  state: "done",
  exports: ["nn.compand", "nn.companders", "nn.weightStatistics"],
  study: "weight-compander",
});

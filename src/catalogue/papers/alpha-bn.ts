import { entry } from "../paper.js";

export const alphaBn = entry({
  id: "alpha-bn",
  title: "Test-time Batch Statistics Calibration for Covariate Shift",
  year: 2021,
  link: "https://arxiv.org/abs/2110.04065",
  kind: "normalization",
  summary:
    "Adapts a trained network to a shifted test distribution by mixing the stored batch statistics with those of " +
    "the test batch, in one fixed proportion. An optional online step updates only the norms' gains and biases " +
    "from the correlation of class predictions.",
  state: "done",
  exports: ["adapt.alphaBN", "adapt.testTimeAdapt", "adapt.coreLoss"],
  study: "alpha-bn",
});

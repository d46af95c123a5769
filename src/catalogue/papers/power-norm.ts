import { entry } from "../paper.js";

export const powerNorm = entry({
  id: "power-norm",
  title: "PowerNorm: Rethinking Batch Normalization in Transformers",
  year: 2020,
  link: "https://arxiv.org/abs/2003.07845",
  kind: "normalization",
  summary:
    "A batch norm for text: no mean is subtracted, a running quadratic mean is used already while training, and " +
    "the backward pass is approximated with running statistics of the gradient. It steadies the batch statistics " +
    "that make plain batch norm fail on sentences.",
  state: "done",
  exports: ["nn.powerNorm", "nn.PowerNorm", "nn.foldNorms"],
  study: "power-norm",
});

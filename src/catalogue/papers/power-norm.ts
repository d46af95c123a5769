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
  when: "Text, where BatchNorm is wanted for its speed in use and fails for its noise. Set the warm-up to that of the learning rate, and as many groups as there are attention heads.",
  example: `import { nn } from "layerwise";

const model = nn.gpt({
  depth: 2,
  vocabulary: 256,
  context: 64,
  norm: (width) => nn.powerNorm(width, { groups: 2, warmupIters: 400 }),
  placement: "post",
});
console.log(model.parameters().length);`,
  study: "power-norm",
});

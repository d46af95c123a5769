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
  when: "A small data set and a network that memorises it: weights are kept from growing large and from lying idle. Leave a and b fixed.",
  example: `import { nn } from "layerwise";

const model = nn.cifarResNet({ depth: 8 });
await nn.compand(model, { query: "**conv*", learn: false });
// … train …
await nn.bake(model);
console.log((await nn.weightStatistics(model)).length);`,
  study: "weight-compander",
});

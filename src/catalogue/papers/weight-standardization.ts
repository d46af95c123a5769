import { entry } from "../paper.js";

export const weightStandardization = entry({
  id: "weight-standardization",
  title: "Micro-Batch Training with Batch-Channel Normalization and Weight Standardization",
  year: 2019,
  link: "https://arxiv.org/abs/1903.10520",
  kind: "normalization",
  summary:
    "Standardises every convolution filter to zero mean and unit variance in the forward pass, and combines a " +
    "batch norm on estimated statistics with a group norm. Training with one or two images per step then works as " +
    "well as with large batches.",
  state: "done",
  exports: ["nn.weightStandardization", "nn.standardizeWeights", "nn.batchChannelNorm"],
  when: "Training with one or two images a step, with GroupNorm; detection and segmentation, where large batches do not fit. Bake it before use.",
  example: `import { nn } from "layerwise";

const model = nn.standardizeWeights(nn.cifarResNet({ depth: 20, norm: "group" }));
// … train …
await nn.bake(model);
console.log(model.parameters().length);`,
  study: "weight-standardization",
});

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
  study: "weight-standardization",
});

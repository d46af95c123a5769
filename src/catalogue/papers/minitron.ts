import { entry } from "../paper.js";

export const minitron = entry({
  id: "minitron",
  title: "Compact Language Models via Pruning and Knowledge Distillation",
  year: 2024,
  link: "https://arxiv.org/abs/2407.14679",
  kind: "compression",
  summary:
    "Derives smaller language models from a trained one: layers, heads, neurons and channels are ranked by their " +
    "activations on a small calibration set and cut, then the best shape is retrained by distillation with a few " +
    "per cent of the original tokens.",
  state: "planned",
});

import { entry } from "../paper.js";

export const laptopDiff = entry({
  id: "laptop-diff",
  title: "LAPTOP-Diff: Layer Pruning and Normalized Distillation for Compressing Diffusion Models",
  year: 2024,
  link: "https://arxiv.org/abs/2404.11098",
  kind: "compression",
  summary:
    "Halves a diffusion U-Net: every layer is removed alone to see how much the predicted noise changes, and a " +
    "knapsack picks the set that frees enough parameters. Retraining distils features whose loss terms are " +
    "normalised by the size of the teacher's.",
  state: "planned",
});

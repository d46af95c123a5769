import { entry } from "../paper.js";

export const wideAttention = entry({
  id: "wide-attention",
  title: "Wide Attention Is The Way Forward For Transformers?",
  year: 2022,
  link: "https://arxiv.org/abs/2210.00640",
  kind: "architecture",
  summary:
    "Keeps the total number of attention heads and trades layers for heads. One very wide layer matches the usual " +
    "deep stack on small text tasks, at about half the parameters and lower latency.",
  state: "planned",
});

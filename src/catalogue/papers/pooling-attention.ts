import { entry } from "../paper.js";

export const poolingAttention = entry({
  id: "pooling-attention",
  title: "Pooling And Attention: What Are Effective Designs For LLm-Based Embedding Models?",
  year: 2024,
  link: "https://arxiv.org/abs/2409.02727",
  kind: "architecture",
  summary:
    "Compares designs of text-embedding models on one base model and one data set: last token, mean or trained " +
    "pooling, causal or bidirectional attention. Adds a pooling over all layers, and finds by a signed-rank test " +
    "that no design wins everywhere.",
  state: "planned",
});

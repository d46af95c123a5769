import { entry } from "../paper.js";

export const lisa = entry({
  id: "lisa",
  title: "LISA: Layerwise Importance Sampling for Memory-Efficient Large Language Model Fine-Tuning",
  year: 2024,
  link: "https://arxiv.org/abs/2403.17919",
  kind: "adaptation",
  summary:
    "Fine-tunes all weights over time but only a few at any time: embedding, head and a handful of randomly drawn " +
    "blocks, redrawn every few steps. Memory stays near that of low-rank adapters, with nothing to merge " +
    "afterwards.",
  state: "planned",
});

import { entry } from "../paper.js";

export const llmDrop = entry({
  id: "llm-drop",
  title: "What Matters in Transformers? Not All Attention is Needed",
  year: 2024,
  link: "https://arxiv.org/abs/2406.15786",
  kind: "compression",
  summary:
    "Removes whole attention sub-layers, MLPs or blocks from a trained transformer, choosing those whose output " +
    "is most similar to their input on a little text. No training is needed; attention turns out to be far more " +
    "removable than the MLPs.",
  state: "planned",
});

import { entry } from "../paper.js";

export const nkdUskd = entry({
  id: "nkd-uskd",
  title:
    "From Knowledge Distillation to Self-Knowledge Distillation: A Unified Approach with Normalized Loss and Customized Soft Labels",
  year: 2023,
  link: "https://arxiv.org/abs/2303.13005",
  kind: "objective",
  summary:
    "Two classification losses. With a teacher, its non-target probabilities are renormalised before they are " +
    "matched; without one, the target label comes from the network's own confidence and the other labels from " +
    "Zipf's law over a ranking of the classes.",
  state: "planned",
});

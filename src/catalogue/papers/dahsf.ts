import { entry } from "../paper.js";

export const dahsf = entry({
  id: "dahsf",
  title:
    "Digestion Algorithm in Hierarchical Symbolic Forests: A Fast Text Normalization Algorithm and Semantic Parsing Framework for Specific Scenarios and Lightweight Deployment",
  year: 2024,
  link: "https://arxiv.org/abs/2412.14054",
  kind: "application",
  summary:
    "Turns typed commands into a standard text and a parse tree with stacked forests of synonyms and sentence " +
    "frames, without any neural network. A few kilobytes of rules, microseconds a sentence, and a trace for every " +
    "decision.",
  state: "planned",
});

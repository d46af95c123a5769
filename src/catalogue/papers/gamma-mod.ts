import { entry } from "../paper.js";

export const gammaMod = entry({
  id: "gamma-mod",
  title: "γ-MoD: Exploring Mixture-of-Depth Adaptation for Multimodal Large Language Models",
  year: 2024,
  link: "https://arxiv.org/abs/2410.13859",
  kind: "adaptation",
  summary:
    "Converts layers of a trained vision-language model so that only some tokens pass through them and the rest " +
    "skip. The rank of a layer's attention maps decides which layers may be converted; one router is shared, and " +
    "question tokens are protected.",
  state: "planned",
});

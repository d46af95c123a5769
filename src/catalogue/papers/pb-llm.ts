import { entry } from "../paper.js";

export const pbLlm = entry({
  id: "pb-llm",
  title: "PB-LLM: Partially Binarized Large Language Models",
  year: 2023,
  link: "https://arxiv.org/abs/2310.00034",
  kind: "compression",
  summary:
    "Keeps the few salient weights of a language model at 8 bits and reduces all others to a sign and a scale. " +
    "Error compensation from a small calibration set, or a short training with the salient weights frozen, " +
    "rescues what pure binarisation destroys.",
  state: "planned",
});

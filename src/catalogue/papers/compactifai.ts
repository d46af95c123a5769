import { entry } from "../paper.js";

export const compactifai = entry({
  id: "compactifai",
  title: "CompactifAI: Extreme Compression of Large Language Models using Quantum-Inspired Tensor Networks",
  year: 2024,
  link: "https://arxiv.org/abs/2401.14109",
  kind: "compression",
  summary:
    "Rewrites the weight matrices of a language model as chains of small tensors, cut by singular value " +
    "decomposition to a chosen bond dimension. A sensitivity profile says where to cut hard, and a short " +
    "retraining of the factors heals the model.",
  state: "planned",
});

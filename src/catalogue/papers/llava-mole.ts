import { entry } from "../paper.js";

export const llavaMole = entry({
  id: "llava-mole",
  title: "LLaVA-MoLE: Sparse Mixture of LoRA Experts for Mitigating Data Conflicts in Instruction Finetuning MLLMs",
  year: 2024,
  link: "https://arxiv.org/abs/2401.16160",
  kind: "adaptation",
  summary:
    "Gives the MLP of every decoder layer several low-rank adapters and a small router that sends each token to " +
    "exactly one of them. Instruction sets of different domains stop competing for the same few directions, at " +
    "the cost of a single adapter.",
  state: "planned",
});

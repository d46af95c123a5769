import { entry } from "../paper.js";

export const recursiveTransformer = entry({
  id: "recursive-transformer",
  title: "Relaxed Recursive Transformers: Effective Parameter Sharing with Layer-wise LoRA",
  year: 2024,
  link: "https://arxiv.org/abs/2410.20672",
  kind: "adaptation",
  summary:
    "Turns a pretrained decoder into one that stores only a few layers and runs them in a loop. Every depth " +
    "position gets its own low-rank correction, started from the singular value decomposition of what sharing " +
    "lost, and tokens may leave the loop early.",
  state: "planned",
});

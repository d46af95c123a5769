import { entry } from "../paper.js";

export const slab = entry({
  id: "slab",
  title:
    "SLAB: Efficient Transformers with Simplified Linear Attention and Progressive Re-parameterized Batch Normalization",
  year: 2024,
  link: "https://arxiv.org/abs/2405.11582",
  kind: "normalization",
  summary:
    "Moves a transformer from LayerNorm to a re-parameterised batch norm gradually during training, so that " +
    "inference needs no statistics and the norm folds away. Comes with an attention of linear cost: ReLU features " +
    "plus a depth-wise convolution of the values.",
  state: "planned",
});

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
  state: "done",
  exports: ["nn.prepbn", "nn.PRepBN", "nn.simplifiedLinearAttention", "nn.foldNorms"],
  when: "A transformer trained from scratch that should have no statistics in use: it starts with LayerNorm, ends with BatchNorm, and folds. Linear attention is for images with many patches.",
  example: `import { nn } from "layerwise";

const model = nn.vit({
  imageSize: 32,
  patchSize: 4,
  width: 64,
  layers: 2,
  heads: 4,
  classes: 10,
  classToken: false,
  attention: "linear",
  norm: (width) => nn.prepbn(width, { step: 5000 }),
});
// … train for more than 5000 steps …
const { folded } = await nn.foldNorms(model);
console.log(\`\${folded.length} norms are gone\`);`,
  study: "slab",
});

import { entry } from "../paper.js";

export const mixLn = entry({
  id: "mix-ln",
  title: "Mix-LN: Unleashing the Power of Deeper Layers by Combining Pre-LN and Post-LN",
  year: 2024,
  link: "https://arxiv.org/abs/2412.13795",
  kind: "placement",
  summary:
    "Puts the norm after the residual addition in the first quarter of the blocks and before the sub-layer in the " +
    "rest. Gradient norms become nearly equal over depth, so the deep layers train too, at no extra parameter or " +
    "cost.",
  state: "done",
  exports: ["nn.mix", "nn.post"],
  when: "Transformers of twenty blocks and more whose deep blocks learn little under Pre-LN; needs a warm-up.",
  example: `import { nn } from "layerwise";

const model = nn.gpt({ layers: 8, width: 64, heads: 2, vocabulary: 256, context: 64, placement: "mix" });
console.log(model.placements.map(({ kind }) => kind));`,
  study: "mix-ln",
});

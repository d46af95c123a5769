import { entry } from "../paper.js";

export const unifiedNorm = entry({
  id: "unified-norm",
  title: "Unified Normalization for Accelerating and Stabilizing Transformers",
  year: 2022,
  link: "https://arxiv.org/abs/2208.01313",
  kind: "normalization",
  summary:
    "Divides each channel by a smoothed second moment, the geometric mean of the last batches, and never " +
    "subtracts a mean. At inference the layer folds into the next linear one, so a transformer keeps its accuracy " +
    "and loses the cost of its norms.",
  state: "done",
  exports: ["nn.unifiedNorm", "nn.UnifiedNorm", "nn.foldNorms"],
  when: "A transformer that must be fast in use and trains long enough for smoothed statistics to settle: after training every norm folds into the matrices that read it. Start the warm-up again when fine-tuning, and keep outlier filtration off for text.",
  example: `import { nn } from "layerwise";

const model = nn.gpt({
  depth: 2,
  vocabulary: 256,
  context: 64,
  norm: (width) => nn.unifiedNorm(width, { windowSize: 4, warmupIters: 1000 }),
});
// … train …
const { folded } = await nn.foldNorms(model);
console.log(\`\${folded.length} norms are gone\`);`,
  study: "unified-norm",
});

import { entry } from "../paper.js";

export const periLn = entry({
  id: "peri-ln",
  title: "Peri-LN: Revisiting Layer Normalization in the Transformer Architecture",
  year: 2025,
  link: "https://arxiv.org/abs/2502.02732",
  kind: "placement",
  summary:
    "Normalises every sub-layer on its input and again on its output, and adds only the normalised output to the " +
    "residual stream. The stream then grows linearly with depth whatever the size of the weights, so high " +
    "learning rates and half precision stay safe.",
  state: "done",
  exports: ["nn.peri", "nn.output", "nn.residual"],
  when: "Deep transformers at a high learning rate: the stream grows by a bounded amount per block, so that training does not spike.",
  example: `import { nn } from "layerwise";

const model = nn.gpt({ depth: 2, vocabulary: 256, context: 64, placement: "peri" });
console.log(model.placements.map(({ kind }) => kind));`,
  study: "peri-ln",
});

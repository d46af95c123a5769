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
  study: "peri-ln",
});

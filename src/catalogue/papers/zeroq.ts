import { entry } from "../paper.js";

export const zeroq = entry({
  id: "zeroq",
  title: "ZeroQ: A Novel Zero Shot Quantization Framework",
  year: 2020,
  link: "https://arxiv.org/abs/2001.00281",
  kind: "compression",
  summary:
    "Quantises a convolutional network without any data: noise is optimised until its statistics equal those " +
    "stored in the batch norms. That distilled batch fixes the activation ranges and the sensitivity of each " +
    "layer, from which a Pareto frontier picks the bit widths.",
  state: "planned",
});

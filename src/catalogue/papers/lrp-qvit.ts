import { entry } from "../paper.js";

export const lrpQvit = entry({
  id: "lrp-qvit",
  title: "LRP-QViT: Mixed-Precision Vision Transformer Quantization via Layer-wise Relevance Propagation",
  year: 2024,
  link: "https://arxiv.org/abs/2401.11243",
  kind: "compression",
  summary:
    "Gives each layer of a vision transformer its own bit width, by how much of the predicted class layer-wise " +
    "relevance propagation attributes to it. Outlier channels are clipped and folded into the norm, and a few " +
    "dozen images suffice for calibration.",
  state: "planned",
});

import { entry } from "../paper.js";

export const dimr = entry({
  id: "dimr",
  title: "Alleviating Distortion in Image Generation via Multi-Resolution Diffusion Models",
  year: 2024,
  link: "https://arxiv.org/abs/2406.09416",
  kind: "architecture",
  summary:
    "A noise-predicting diffusion network in stages: a transformer on coarse patches, then convolutional stages " +
    "on ever finer grids, each with its own target. Time enters through a norm whose gain and bias slide between " +
    "two learned vectors, which replaces the large time network.",
  state: "planned",
});

import { entry } from "../paper.js";

export const regionNorm = entry({
  id: "region-norm",
  title: "Region Normalization for Image Inpainting",
  year: 2019,
  link: "https://arxiv.org/abs/1911.10375",
  kind: "normalization",
  summary:
    "Normalises an image with a hole by region: valid pixels and hole pixels each get their own statistics, so " +
    "the filled value of the hole no longer shifts the rest. Later layers learn their own region mask.",
  state: "done",
  exports: [
    "nn.regionNorm",
    "nn.BasicRegionNorm",
    "nn.LearnableRegionNorm",
    "nn.regionNorms",
    "nn.inpaintGenerator",
    "nn.patchDiscriminator",
    "nn.holeL1",
  ],
  study: "region-norm",
});

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
  when: "A network sees images with holes, or with any pixels that were filled in: RN-B where the mask still says which, RN-L behind it. It puts both in the place of an inpainting network's norms; its statistics are always those of the images at hand, so nothing of it folds into a convolution.",
  example: `import { compile, grad, NDArray, nn, optim, training } from "layerwise";

const generator = nn.inpaintGenerator({ width: 8, blocks: 2 });
const optimizer = optim.adam(generator.parameters(), { learningRate: 2e-3, betas: [0.5, 0.9] });
const step = compile(({ images, mask }) => {
  const loss = training(() => nn.holeL1(images, generator.apply(images, mask), mask));
  optimizer.update(grad(loss, generator.parameters()));
  return { loss };
});
const mask = nn.checkHoles(NDArray.from(Array.from({ length: 1024 }, (_, i) => Number(i < 256)), "float32", [1, 1, 32, 32]));
console.log((await step({ images: NDArray.zeros([1, 3, 32, 32]), mask })).loss.item());

// Another network: region norms in the place of its own, the mask handed to them from outside.
const own = nn.swapNorms(nn.cifarResNet({ depth: 8 }), nn.regionNorms({ firstN: 3 }));
const classify = compile(({ images, mask }) => ({
  logits: nn.withInputs({ region: mask }, () => own.apply(images)),
}));
console.log((await classify({ images: NDArray.zeros([1, 3, 32, 32]), mask })).logits.shape);`,
  study: "region-norm",
});

import { entry } from "../paper.js";

export const alphaBn = entry({
  id: "alpha-bn",
  title: "Test-time Batch Statistics Calibration for Covariate Shift",
  year: 2021,
  link: "https://arxiv.org/abs/2110.04065",
  kind: "normalization",
  summary:
    "Adapts a trained network to a shifted test distribution by mixing the stored batch statistics with those of " +
    "the test batch, in one fixed proportion. An optional online step updates only the norms' gains and biases " +
    "from the correlation of class predictions.",
  state: "done",
  exports: ["adapt.alphaBN", "adapt.testTimeAdapt", "adapt.coreLoss"],
  when: "A trained model with BatchNorm meets data that changed, and there are no labels: mix the statistics (0.9 for single pictures, less for larger batches), and adapt with Core where several classes come together.",
  example: `import { adapt, NDArray, nn } from "layerwise";

const trained = nn.cifarResNet({ depth: 8, classes: 6 });
const session = await adapt.testTimeAdapt(trained, { sourceWeight: 0.5 });
const { logits } = await session.predict(NDArray.zeros([8, 3, 20, 20]));
await session.release();
console.log(logits.shape);`,
  study: "alpha-bn",
});

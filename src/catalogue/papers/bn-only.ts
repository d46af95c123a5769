import { entry } from "../paper.js";

export const bnOnly = entry({
  id: "bn-only",
  title: "Training BatchNorm and Only BatchNorm: On the Expressive Power of Random Features in CNNs",
  year: 2020,
  link: "https://arxiv.org/abs/2003.00152",
  kind: "normalization",
  summary:
    "Freezes all weights of a convolutional network at their random values and trains only the gains and biases " +
    "of its batch norms. Deep networks still become surprisingly accurate, and switch off about a third of their " +
    "random features.",
  state: "done",
  exports: ["nn.trainOnly", "nn.initializeRandomFeatures", "nn.featureReport", "nn.delta"],
  study: "bn-only",
});

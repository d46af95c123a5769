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
  when: "To find out what random features can do, and to adapt a network by a few kilobytes: only norms are trained and saved.",
  example: `import { nn } from "layerwise";

const model = nn.cifarResNet({ depth: 20 });
nn.initializeRandomFeatures(model, { seed: 0 });
const { trained, frozen } = nn.trainOnly(model, "bn");
// … train …
const changed = await nn.delta(model);
console.log(trained, frozen, changed.size);`,
  study: "bn-only",
});

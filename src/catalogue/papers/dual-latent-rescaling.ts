import { entry } from "../paper.js";

export const dualLatentRescaling = entry({
  id: "dual-latent-rescaling",
  title: "Enhancing Image Rescaling using Dual Latent Variables in Invertible Neural Network",
  year: 2022,
  link: "https://arxiv.org/abs/2207.11844",
  kind: "architecture",
  summary:
    "Shrinks and enlarges images with one invertible network. A second latent variable on the input side stands " +
    "for the choice among many valid small images, next to the usual one for lost detail, and raises the fidelity " +
    "of the restored image.",
  state: "planned",
});

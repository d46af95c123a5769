import { entry } from "../paper.js";

export const informationPlane = entry({
  id: "information-plane",
  title: "Opening the Black Box of Deep Neural Networks via Information",
  year: 2017,
  link: "https://arxiv.org/abs/1703.00810",
  kind: "inspection",
  summary:
    "Follows each layer through training by what it knows about the input and about the label. Reports a short " +
    "fitting phase and a long compression phase, separated where gradients turn from drift to diffusion; a " +
    "finding that later work ties to saturating activations.",
  state: "planned",
});

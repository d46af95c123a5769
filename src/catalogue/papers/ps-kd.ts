import { entry } from "../paper.js";

export const psKd = entry({
  id: "ps-kd",
  title: "Self-Knowledge Distillation with Progressive Refinement of Targets",
  year: 2020,
  link: "https://arxiv.org/abs/2006.12000",
  kind: "objective",
  summary:
    "Softens each one-hot target with the prediction that the same network made for the same sample one epoch " +
    "earlier, with a share that grows during training. Accuracy and calibration improve for the price of one " +
    "table of past probabilities.",
  state: "planned",
});

import { entry } from "../paper.js";

export const projectionHead = entry({
  id: "projection-head",
  title: "Investigating the Benefits of Projection Head for Representation Learning",
  year: 2024,
  link: "https://arxiv.org/abs/2403.11391",
  kind: "inspection",
  summary:
    "Explains why features before the projection head of a contrastive model transfer better than those after it: " +
    "training weighs features more unequally with every layer. A fixed diagonal head with one knob shows, and " +
    "reproduces, the effect.",
  state: "planned",
});

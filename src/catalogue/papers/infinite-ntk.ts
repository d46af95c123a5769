import { entry } from "../paper.js";

export const infiniteNtk = entry({
  id: "infinite-ntk",
  title: "Wide and Deep Neural Networks Achieve Optimality for Classification",
  year: 2022,
  link: "https://arxiv.org/abs/2204.14126",
  kind: "inspection",
  summary:
    "Infinitely wide and deep networks are kernel classifiers, and their activation alone decides whether they " +
    "vote by nearest neighbour, by majority or by a singular kernel. The paper gives the activations of the " +
    "third, consistent kind by Hermite coefficients.",
  state: "planned",
});

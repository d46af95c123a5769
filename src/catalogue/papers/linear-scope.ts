import { entry } from "../paper.js";

export const linearScope = entry({
  id: "linear-scope",
  title: "A Tour of Convolutional Networks Guided by Linear Interpreters",
  year: 2019,
  link: "https://arxiv.org/abs/1908.05168",
  kind: "inspection",
  summary:
    "Freezes what every nonlinear unit decided for one input, which leaves a network that is exactly affine. A " +
    "second batch carried through that linear system shows effective filters, the share of biases and the " +
    "singular vectors behind one output.",
  state: "planned",
});

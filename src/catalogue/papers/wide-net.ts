import { entry } from "../paper.js";

export const wideNet = entry({
  id: "wide-net",
  title: "Go Wider Instead of Deeper",
  year: 2021,
  link: "https://arxiv.org/abs/2107.11817",
  kind: "architecture",
  summary:
    "All layers of a transformer share one attention module and one mixture-of-experts feed-forward module, while " +
    "every layer keeps its own norms. Sharing removes the parameters that depth costs, the experts buy capacity " +
    "back in width.",
  state: "planned",
});

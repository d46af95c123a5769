import { entry } from "../paper.js";

export const tleg = entry({
  id: "tleg",
  title: "Transformer as Linear Expansion of Learngene",
  year: 2023,
  link: "https://arxiv.org/abs/2312.05614",
  kind: "architecture",
  summary:
    "Two small sets of block parameters, a base and a slope, generate a transformer of any depth by plain " +
    "arithmetic. They are learned once by distillation; models of different depths start from them and need a " +
    "short fine-tune only.",
  state: "planned",
});

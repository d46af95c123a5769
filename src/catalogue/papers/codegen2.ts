import { entry } from "../paper.js";

export const codegen2 = entry({
  id: "codegen2",
  title: "CodeGen2: Lessons for Training LLMs on Programming and Natural Languages",
  year: 2023,
  link: "https://arxiv.org/abs/2305.02309",
  kind: "objective",
  summary:
    "Studies how to train one model on code and text: prefix or causal attention, objectives, infilling and data " +
    "mixture. The outcome is a causal decoder trained on an even mix of next-token prediction and span corruption " +
    "that can fill holes.",
  state: "planned",
});

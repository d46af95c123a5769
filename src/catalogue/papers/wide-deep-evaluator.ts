import { entry } from "../paper.js";

export const wideDeepEvaluator = entry({
  id: "wide-deep-evaluator",
  title: "Wider and Deeper LLM Networks are Fairer LLM Evaluators",
  year: 2023,
  link: "https://arxiv.org/abs/2308.01862",
  kind: "application",
  summary:
    "Lets a chat model judge two answers like a small network: it invents evaluation angles, judges once per " +
    "angle, then lets neighbouring judges discuss in further layers. All scores, taken in both presentation " +
    "orders, are averaged into a verdict.",
  state: "planned",
});

import { entry } from "../paper.js";

export const dmoerm = entry({
  id: "dmoerm",
  title: "DMoERM: Recipes of Mixture-of-Experts for Effective Reward Modeling",
  year: 2024,
  link: "https://arxiv.org/abs/2403.01197",
  kind: "application",
  summary:
    "A reward model in two layers of experts: a router sends a prompt to the model of its task, and inside it one " +
    "low-rank expert per capability contributes to the score. It resists disagreeing annotators and over- " +
    "optimisation.",
  state: "planned",
});

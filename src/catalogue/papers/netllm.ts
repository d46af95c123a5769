import { entry } from "../paper.js";

export const netllm = entry({
  id: "netllm",
  title: "Large Language Model Adaptation for Networking",
  year: 2024,
  link: "https://arxiv.org/abs/2402.02338",
  kind: "application",
  summary:
    "Adapts one pretrained language model to networking tasks: an encoder turns measurements into token " +
    "embeddings, heads answer with a valid decision in one step, and low-rank updates learn from logged " +
    "experience. Covers viewport prediction, video bitrate and job scheduling.",
  state: "planned",
});

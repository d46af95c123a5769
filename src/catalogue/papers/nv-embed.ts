import { entry } from "../paper.js";

export const nvEmbed = entry({
  id: "nv-embed",
  title: "NV-Embed: Improved Techniques for Training LLMs as Generalist Embedding Models",
  year: 2024,
  link: "https://arxiv.org/abs/2405.17428",
  kind: "architecture",
  summary:
    "Turns a decoder-only language model into a text embedder: the causal mask is dropped, tokens query a small " +
    "trainable dictionary before averaging, and contrastive training runs in two stages, first retrieval, then a " +
    "blend with other tasks.",
  state: "planned",
});

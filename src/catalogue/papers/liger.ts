import { entry } from "../paper.js";

export const liger = entry({
  id: "liger",
  title: "Liger: Linearizing Large Language Models to Gated Recurrent Structures",
  year: 2025,
  link: "https://arxiv.org/abs/2503.01496",
  kind: "adaptation",
  summary:
    "Turns a pretrained softmax-attention model into a gated recurrent one without new parameters: the forget " +
    "gate is pooled from the key projection. A short window of ordinary attention and a light low-rank fine-tune " +
    "bring the quality back.",
  state: "planned",
});

import { entry } from "../paper.js";

export const fedwon = entry({
  id: "fedwon",
  title: "FedWon: Triumphing Multi-domain Federated Learning Without Normalization",
  year: 2023,
  link: "https://arxiv.org/abs/2306.05879",
  kind: "application",
  summary:
    "Federated averaging over clients whose images come from different domains, made to work by removing batch " +
    "norm altogether and re-parameterising every convolution with scaled weight standardisation. One global model " +
    "serves known and new clients, down to a batch of one.",
  state: "planned",
});

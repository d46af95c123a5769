import { entry } from "../paper.js";

export const layerNorm = entry({
  id: "layer-norm",
  title: "Layer Normalization",
  year: 2016,
  link: "https://arxiv.org/abs/1607.06450",
  kind: "normalization",
  summary:
    "Normalises the summed inputs of a layer with the mean and variance of one training case, so training and " +
    "inference compute the same and the batch size does not matter. Also inside every step of recurrent layers " +
    "(RNN, LSTM, GRU), as in its authors' code.",
  state: "done",
  exports: ["nn.layerNorm", "nn.LayerNorm", "nn.rnn", "nn.lstm", "nn.gru", "nn.recurrentLM"],
  study: "layer-norm",
});

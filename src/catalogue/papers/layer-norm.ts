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
  when: "Text and recurrent nets, batches of any size: it looks at one case alone, in training and in use alike. The default of transformers; RMSNorm does the same for less.",
  example: `import { nn } from "layerwise";

const encoder = nn.lstm(16, 32, { layers: 2, bidirectional: true, layerNorm: true });
const model = nn.gpt({ depth: 2, vocabulary: 256, context: 64, norm: "layer" });
console.log(encoder.parameters().length, model.parameters().length);`,
  study: "layer-norm",
});

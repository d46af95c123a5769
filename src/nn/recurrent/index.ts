/** Layers that read step by step. */
export { GRU, type GRUOptions, gru } from "./gru.js";
export { initializeRecurrent, type RecurrentInitialization } from "./initialize-recurrent.js";
export { LSTM, type LSTMOptions, lstm } from "./lstm.js";
export { orthogonal } from "./orthogonal.js";
export { Recurrent, type RecurrentInputs, type RecurrentOptions, type RecurrentOutput } from "./recurrent.js";
export { RNN, type RNNOptions, rnn } from "./rnn.js";

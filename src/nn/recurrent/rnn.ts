/**
 * The simple recurrent layer, its non-linearity f being tanh or ReLU:
 *
 *   plain:       h' = f(W x + b_ih + U h + b_hh)
 *   normalised:  h' = f(LN(W x + U h; g, b))
 *
 * Sources: "Finding Structure in Time", 1990; "Layer Normalization", 2016. The plain layer equals PyTorch's nn.RNN.
 */
import { fail, linear, type Tensor } from "../../tensor/index.js";
import { added, type Cell, type CellOptions, plainBiases } from "./cell.js";
import { Recurrent, type RecurrentOptions } from "./recurrent.js";

export interface RNNOptions extends RecurrentOptions, Omit<CellOptions, "inputBias"> {
  /** f (default "tanh"). */
  readonly nonlinearity?: "tanh" | "relu";
}

export class RNN extends Recurrent {
  /** `inputSize` and `hiddenSize` are the last axes of inputs and outputs. Throws as `Recurrent` does, and for another f. */
  constructor(inputSize: number, hiddenSize: number, options: RNNOptions = {}) {
    const { nonlinearity = "tanh" } = options;
    if (nonlinearity !== "tanh" && nonlinearity !== "relu")
      fail("argument", `RNN: expected nonlinearity "tanh" or "relu", got "${nonlinearity}"`);
    super(options.layerNorm ? normalized(options) : plain(options), inputSize, hiddenSize, options);
  }
}

const common = { gates: 1, states: 1, forgetGate: undefined } as const;

const plain = (options: RNNOptions): Cell => ({
  ...common,
  name: "RNN",
  norms: {},
  biases: plainBiases(options),
  project: ({ weight_ih, bias_ih, bias_hh }, x) => [added(linear(x, weight_ih, bias_ih), bias_hh)],
  step: ({ weight_hh }, [a], [h]) => [added(a, linear(h as Tensor, weight_hh))[options.nonlinearity ?? "tanh"]()],
});

const normalized = ({ nonlinearity = "tanh" }: RNNOptions): Cell => ({
  ...common,
  name: "layer-normalised RNN",
  norms: { norm: 1 },
  biases: [], // the norm's own bias is the only one
  project: ({ weight_ih }, x) => [linear(x, weight_ih)],
  step: ({ weight_hh, norm }, [a], [h]) => [norm("norm", added(a, linear(h as Tensor, weight_hh)))[nonlinearity]()],
});

export const rnn = (inputSize: number, hiddenSize: number, options?: RNNOptions): RNN =>
  new RNN(inputSize, hiddenSize, options);

/**
 * Long short-term memory, gates in PyTorch's order i, f, g, o:
 *
 *   plain:       a = W x + b_ih + U h + b_hh
 *   normalised:  a = LN(W x + b; s1, b1) + LN(U h; s2, b2) + b      each LN over all 4H numbers at once
 *
 *   c' = σ(a_f) · c + σ(a_i) · tanh(a_g);   h' = σ(a_o) · tanh(c')  or, normalised,  σ(a_o) · tanh(LN(c'; s3, b3))
 *
 * The cell carries c' itself; only the copy that the output sees is normalised. That b stands in two places is the
 * authors' code; `inputBias: false` leaves only the one after the norms, as in the paper. The three norms are `norm_ih`,
 * `norm_hh` and `norm_c`. The authors' checkpoints have the gates in the order i, f, o, g and matrices [in, out].
 *
 * Sources: "Long Short-Term Memory", 1997; "Layer Normalization", 2016. The plain layer equals PyTorch's nn.LSTM.
 */
import { linear, type Tensor } from "../../tensor/index.js";
import { added, type Cell, type CellOptions, normalizedBiases, plainBiases } from "./cell.js";
import { Recurrent, type RecurrentOptions } from "./recurrent.js";

export interface LSTMOptions extends RecurrentOptions, CellOptions {
  /** What the bias of the forget gate starts with (default: as the others; 1 keeps the cell at first). */
  readonly forgetBias?: number;
}

export class LSTM extends Recurrent {
  /** `inputSize` and `hiddenSize` are the last axes of inputs and outputs. Throws as `Recurrent` does. */
  constructor(inputSize: number, hiddenSize: number, options: LSTMOptions = {}) {
    super(options.layerNorm ? normalized(options) : plain(options), inputSize, hiddenSize, options);
  }
}

const common = { gates: 4, states: 2, forgetGate: 1 } as const;

const plain = (options: CellOptions): Cell => ({
  ...common,
  name: "LSTM",
  norms: {},
  biases: plainBiases(options),
  project: ({ weight_ih, bias_ih, bias_hh }, x) => [added(linear(x, weight_ih, bias_ih), bias_hh)],
  step: ({ weight_hh }, [a], [h, c]) => {
    const [cell, open] = remember(added(a, linear(h as Tensor, weight_hh)), c as Tensor);
    return [open.mul(cell.tanh()), cell];
  },
});

const normalized = (options: CellOptions): Cell => ({
  ...common,
  name: "layer-normalised LSTM",
  norms: { norm_ih: 4, norm_hh: 4, norm_c: 1 },
  biases: normalizedBiases(options),
  project: ({ weight_ih, bias_ih, norm }, x) => [
    added(norm("norm_ih", linear(x, weight_ih, (options.inputBias ?? true) ? bias_ih : undefined)), bias_ih),
  ],
  step: ({ weight_hh, norm }, [a], [h, c]) => {
    const [cell, open] = remember(added(a, norm("norm_hh", linear(h as Tensor, weight_hh))), c as Tensor);
    return [open.mul(norm("norm_c", cell).tanh()), cell];
  },
});

/** The next cell, and how far the output gate is open. */
function remember(a: Tensor, c: Tensor): readonly [cell: Tensor, open: Tensor] {
  const [i, f, g, o] = a.split(c.dim(-1), -1) as [Tensor, Tensor, Tensor, Tensor];
  return [f.sigmoid().mul(c).add(i.sigmoid().mul(g.tanh())), o.sigmoid()];
}

export const lstm = (inputSize: number, hiddenSize: number, options?: LSTMOptions): LSTM =>
  new LSTM(inputSize, hiddenSize, options);

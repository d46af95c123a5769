/**
 * Gated recurrent unit, rows in PyTorch's order r, z, n (the authors of Layer Normalization call z u):
 *
 *   plain:       [r z] = σ(W x + b_ih + U h + b_hh);            n = tanh(W_n x + b_in + r · (U_n h + b_hn))
 *   normalised:  [r z] = σ(LN(W x + b; s1, b1) + LN(U h; s3, b3))
 *                n = tanh(LN(W_n x + b_x; s2, b2) + r · LN(U_n h; s4, b4))     r multiplies after the norm
 *
 *   h' = z · h + (1 − z) · n
 *
 * The norms are `norm_ih` (s1), `norm_in` (s2), `norm_hh` (s3) and `norm_hn` (s4); b and b_x are parts of `bias_ih`. The
 * paper's text exchanges z and 1 − z; this is its code. `inputBias: false` puts b and b_x behind the norms.
 *
 * Sources: "Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine Translation", 2014; "Layer
 * Normalization", 2016. The plain layer equals PyTorch's nn.GRU.
 */
import { linear, type Tensor } from "../../tensor/index.js";
import { added, type Cell, type CellOptions, normalizedBiases, plainBiases } from "./cell.js";
import { Recurrent, type RecurrentOptions } from "./recurrent.js";

export interface GRUOptions extends RecurrentOptions, CellOptions {}

export class GRU extends Recurrent {
  /** `inputSize` and `hiddenSize` are the last axes of inputs and outputs. Throws as `Recurrent` does. */
  constructor(inputSize: number, hiddenSize: number, options: GRUOptions = {}) {
    super(options.layerNorm ? normalized(options) : plain(options), inputSize, hiddenSize, options);
  }
}

const common = { gates: 3, states: 1, forgetGate: undefined } as const;

const plain = (options: CellOptions): Cell => ({
  ...common,
  name: "GRU",
  norms: {},
  biases: plainBiases(options),
  project: ({ weight_ih, bias_ih }, x) => parts(linear(x, weight_ih, bias_ih)),
  step: ({ weight_hh, bias_hh }, given, [h]) => [
    blend(given, parts(linear(h as Tensor, weight_hh, bias_hh)), h as Tensor),
  ],
});

const normalized = (options: CellOptions): Cell => ({
  ...common,
  name: "layer-normalised GRU",
  norms: { norm_ih: 2, norm_in: 1, norm_hh: 2, norm_hn: 1 },
  biases: normalizedBiases(options),
  project: ({ weight_ih, bias_ih, norm }, x) => {
    const inside = options.inputBias ?? true;
    const [gates, candidate] = parts(linear(x, weight_ih, inside ? bias_ih : undefined));
    const [b, bx] = bias_ih && !inside ? parts(bias_ih) : [];
    return [added(norm("norm_ih", gates), b), added(norm("norm_in", candidate), bx)];
  },
  step: ({ weight_hh, norm }, given, [h]) => {
    const [gates, candidate] = parts(linear(h as Tensor, weight_hh));
    return [blend(given, [norm("norm_hh", gates), norm("norm_hn", candidate)], h as Tensor)];
  },
});

/** The two gates' part [.., 2H], and the candidate's [.., H]. */
const parts = (a: Tensor): [gates: Tensor, candidate: Tensor] => {
  const H = a.dim(-1) / 3;
  return a.split([2 * H, H], -1) as [Tensor, Tensor];
};

function blend(given: readonly Tensor[], recurrent: readonly Tensor[], h: Tensor): Tensor {
  const [xGates, xCandidate] = given as [Tensor, Tensor];
  const [hGates, hCandidate] = recurrent as [Tensor, Tensor];
  const [r, z] = xGates.add(hGates).sigmoid().split(h.dim(-1), -1) as [Tensor, Tensor];
  const n = xCandidate.add(r.mul(hCandidate)).tanh();
  return n.add(z.mul(h.sub(n))); // z · h + (1 − z) · n
}

export const gru = (inputSize: number, hiddenSize: number, options?: GRUOptions): GRU =>
  new GRU(inputSize, hiddenSize, options);

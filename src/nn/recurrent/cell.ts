/**
 * What a recurrent layer repeats: the part of a step that needs the input alone (done for all steps at once) and the
 * step itself. A cell is data; `Recurrent` owns the variables and hands them over by their PyTorch names.
 */
import type { Tensor, Variable } from "../../tensor/index.js";

/** The variables of one layer and direction, under the names that PyTorch gives them, without `_l0`. */
export interface CellWeights {
  readonly weight_ih: Variable; // [gates·H, inputs]
  readonly weight_hh: Variable; // [gates·H, H]
  readonly bias_ih: Variable | undefined; // [gates·H]
  readonly bias_hh: Variable | undefined; // [gates·H]
  /** Apply the layer's norm of this name. */
  norm(name: string, x: Tensor): Tensor;
}

export interface Cell {
  readonly name: string;
  /** Blocks of H rows in the matrices. */
  readonly gates: number;
  /** Which block is the forget gate. */
  readonly forgetGate: number | undefined;
  /** What a step hands to the next: h, or h and c. */
  readonly states: 1 | 2;
  /** Norms by name, with their widths in units of H; none in a plain cell. */
  readonly norms: Readonly<Record<string, number>>;
  /** Which biases of the linear parts there are. */
  readonly biases: readonly ("bias_ih" | "bias_hh")[];
  /** What depends on x [T, B, inputs] alone, for every step: tensors [T, B, …]. */
  project(weights: CellWeights, x: Tensor): readonly Tensor[];
  /** The next state from a step's share of `project` [B, …] and the state [B, H]; h comes first. */
  step(weights: CellWeights, given: readonly Tensor[], state: readonly Tensor[]): readonly Tensor[];
}

export interface CellOptions {
  /** Normalise inside every step (default false). */
  readonly layerNorm?: boolean;
  /** Biases of the linear parts (default true); those of the norms stay. */
  readonly bias?: boolean;
  /**
   * With `layerNorm`: where the bias b of the linear part stands. True (default), as in the authors' code: inside the
   * norm of the input's side, and in the LSTM once more after the norms. False, as in the paper: after the norms.
   */
  readonly inputBias?: boolean;
}

/** The biases of a normalised cell: one for the input's side, or none. */
export const normalizedBiases = ({ bias = true }: CellOptions): readonly "bias_ih"[] => (bias ? ["bias_ih"] : []);

/** Both biases of a plain cell, or none. */
export const plainBiases = ({ bias = true }: CellOptions): readonly ("bias_ih" | "bias_hh")[] =>
  bias ? ["bias_ih", "bias_hh"] : [];

/** The sum of those that are there. */
export const added = (...terms: readonly (Tensor | undefined)[]): Tensor =>
  terms.reduce((sum, term) => (sum && term ? sum.add(term) : (sum ?? term))) as Tensor;

/**
 * Layers that read a sequence step by step, h_t = cell(x_t, h_{t−1}): any number on top of each other, in one or both
 * directions. The input's share of all steps is one matrix product; the steps themselves are unrolled, so that every
 * sequence length is a program of its own, and its graph grows with the length.
 *
 * Variables have PyTorch's names: `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0`, `…_l1`, `…_l0_reverse`; norms
 * inside the cell stand beside them (`norm_hh_l0.weight`), learned initial states are `h_0` and `c_0`.
 */
import { concat, fail, NDArray, stack, type Tensor, Variable, zeros } from "../../tensor/index.js";
import { dropout } from "../dropout.js";
import { filled, normal, uniform } from "../initial.js";
import { Module } from "../module.js";
import { LayerNorm } from "../norm/layer-norm.js";
import { sideInput } from "../side-inputs.js";
import { at } from "../where.js";
import type { Cell, CellWeights } from "./cell.js";
import { checkMask, checkSequence, checkState } from "./check-inputs.js";
import { orthogonalBlocks } from "./orthogonal.js";
import { run, unstack } from "./steps.js";

export interface RecurrentOptions {
  /** Layers on top of each other (default 1). */
  readonly layers?: number;
  /** Read forwards and backwards, and lay both outputs side by side (default false). */
  readonly bidirectional?: boolean;
  /** Dropout on the outputs of every layer but the last (default 0). */
  readonly dropout?: number;
  /** ε of the norms (default 1e-5). */
  readonly eps?: number;
  /**
   * Learn the state before the first step, first 0 (default false). Inside a normalised cell its gradient at 0 is 1/√ε
   * times amplified, since LN(U · 0) normalises a constant: clip gradients.
   */
  readonly learnInitialState?: boolean;
  /**
   * Start recurrent matrices orthogonal, gate by gate, input matrices N(0, 1/inputs) and biases 0 (default: as
   * `layerNorm`); without it all start as PyTorch's, U(±1/√H).
   */
  readonly orthogonal?: boolean;
}

export interface RecurrentInputs {
  /** Bool [batch, time], false at steps that keep the state as it is (default: the side input `padding`, or all true). */
  readonly mask?: Tensor | undefined;
  /** States before the first step [layers · directions, batch, H] (default: the learned ones, or 0). */
  readonly h0?: Tensor | undefined;
  readonly c0?: Tensor | undefined;
}

export interface RecurrentOutput {
  /** h of the last layer at every step [batch, time, directions · H]; at a masked step the state that was kept. */
  readonly outputs: Tensor;
  /** The last states of every layer and direction [layers · directions, batch, H]. */
  readonly h: Tensor;
  /** The same of the cells, and the last layer's cells at every step; in an LSTM alone. */
  readonly c: Tensor | undefined;
  readonly cells: Tensor | undefined;
}

interface ConstructorOptions extends RecurrentOptions {
  readonly layerNorm?: boolean;
  readonly forgetBias?: number;
}

export abstract class Recurrent extends Module<[Tensor, RecurrentInputs?], RecurrentOutput> {
  readonly inputSize: number;
  readonly hiddenSize: number;
  readonly layers: number;
  readonly directions: 1 | 2;
  readonly dropout: number;
  readonly forgetBias: number | undefined;
  readonly h_0: Variable | undefined; // [layers · directions, H]
  readonly c_0: Variable | undefined;
  private readonly cell: Cell;

  /** Throws for sizes that are no positive whole numbers, and for a norm over a single number (H = 1). */
  constructor(cell: Cell, inputSize: number, hiddenSize: number, options: ConstructorOptions) {
    super();
    const { layers = 1, bidirectional = false, dropout = 0, forgetBias, learnInitialState = false } = options;
    for (const [name, n] of Object.entries({ inputSize, hiddenSize, layers }))
      if (!Number.isInteger(n) || n < 1)
        fail("argument", `${cell.name}: expected ${name} to be a positive whole number, got ${n}`);
    if (!(dropout >= 0 && dropout < 1))
      fail("argument", `${cell.name}: expected dropout in [0, 1), got ${dropout}; it is a probability`);
    this.cell = cell;
    [this.inputSize, this.hiddenSize, this.layers] = [inputSize, hiddenSize, layers];
    [this.directions, this.dropout, this.forgetBias] = [bidirectional ? 2 : 1, dropout, forgetBias];
    for (let layer = 0; layer < layers; layer++)
      for (const suffix of this.suffixesOf(layer)) Object.assign(this, this.makeLayer(suffix, layer, options));
    const states = () => new Variable(NDArray.zeros([layers * this.directions, hiddenSize]));
    this.h_0 = learnInitialState ? states() : undefined;
    this.c_0 = learnInitialState && cell.states === 2 ? states() : undefined;
    this.resetForgetGate();
  }

  /** x [batch, time, inputSize]. Throws for other shapes, no steps, and masks or states that do not fit. */
  override forward(x: Tensor, inputs: RecurrentInputs = {}): RecurrentOutput {
    checkSequence(this.cell.name, x, this.inputSize);
    const [batch, steps] = x.shape as [number, number, number];
    const masks = this.masks(inputs.mask ?? sideInput("padding"), batch, steps);
    const start = this.firstStates(inputs, x);
    let stream = x.transpose([1, 0, 2]); // [T, B, inputs]
    let states: readonly Tensor[] = []; // of the running layer, each [T, B, directions · H]
    const last: (readonly Tensor[])[] = [];
    for (let layer = 0; layer < this.layers; layer++) {
      if (layer > 0) stream = dropout(stream, this.dropout);
      const runs = this.suffixesOf(layer).map((suffix, direction) =>
        run(this.cell, this.weights(suffix), {
          x: stream,
          start: start.map((state) => state[layer * this.directions + direction] as Tensor),
          masks,
          reverse: direction === 1,
        }),
      );
      last.push(...runs.map((one) => one.last));
      states = start.map((_, s) =>
        concat(
          runs.map((one) => stack(one.states.map((state) => state[s] as Tensor))),
          -1,
        ),
      );
      stream = states[0] as Tensor;
    }
    const [outputs, cells] = states.map((state) => state.transpose([1, 0, 2]));
    const [h, c] = start.map((_, s) => stack(last.map((state) => state[s] as Tensor)));
    return { outputs: outputs as Tensor, h: h as Tensor, c, cells };
  }

  /** The matrices by name, and which of them read the state. */
  matrices(): { readonly name: string; readonly variable: Variable; readonly recurrent: boolean }[] {
    return this.suffixes().flatMap((suffix) => {
      const { weight_ih, weight_hh } = this.weights(suffix);
      return [
        { name: `weight_ih${suffix}`, variable: weight_ih, recurrent: false },
        { name: `weight_hh${suffix}`, variable: weight_hh, recurrent: true },
      ];
    });
  }

  /** Biases and initial states to 0, gains to 1, the forget gate's bias to its option. */
  resetVectors(): void {
    for (const [path, variable] of this.namedVariables())
      if (!/^weight_[ih]h/.test(path)) variable.set(filled(variable.shape, path.endsWith(".weight") ? 1 : 0));
    this.resetForgetGate();
  }

  private suffixesOf(layer: number): string[] {
    return ["", "_reverse"].slice(0, this.directions).map((direction) => `_l${layer}${direction}`);
  }

  private suffixes(): string[] {
    return Array.from({ length: this.layers }, (_, layer) => this.suffixesOf(layer)).flat();
  }

  /** The fields of one layer and direction. */
  private makeLayer(suffix: string, layer: number, options: ConstructorOptions): Record<string, Variable | LayerNorm> {
    const { layerNorm = false, orthogonal = layerNorm, eps = 1e-5 } = options;
    const { gates, biases, norms } = this.cell;
    const H = this.hiddenSize;
    const inputs = layer === 0 ? this.inputSize : this.directions * H;
    const bound = 1 / Math.sqrt(H);
    const matrix = (columns: number) => uniform([gates * H, columns], bound);
    const square = () => {
      const drawn = normal([gates * H, H], 1);
      return NDArray.from(orthogonalBlocks(drawn.data as Float32Array, H), "float32", drawn.shape);
    };
    const bias = () => (orthogonal ? NDArray.zeros([gates * H]) : uniform([gates * H], bound));
    const named = {
      weight_ih: new Variable(orthogonal ? normal([gates * H, inputs], 1 / Math.sqrt(inputs)) : matrix(inputs)),
      weight_hh: new Variable(orthogonal ? square() : matrix(H)),
      ...Object.fromEntries(biases.map((name) => [name, new Variable(bias())])),
      ...Object.fromEntries(Object.entries(norms).map(([name, width]) => [name, new LayerNorm(width * H, { eps })])),
    };
    return Object.fromEntries(Object.entries(named).map(([name, field]) => [`${name}${suffix}`, field]));
  }

  /** The variables of a layer and direction, whatever stands in their places now. */
  private weights(suffix: string): CellWeights & { readonly bias?: Variable | undefined } {
    const field = (name: string) => (this as unknown as Record<string, unknown>)[`${name}${suffix}`];
    return {
      weight_ih: field("weight_ih") as Variable,
      weight_hh: field("weight_hh") as Variable,
      bias_ih: field("bias_ih") as Variable | undefined,
      bias_hh: field("bias_hh") as Variable | undefined,
      bias: (field("norm_ih") as LayerNorm | undefined)?.bias ?? (field("bias_ih") as Variable | undefined),
      norm: (name, x) => (field(name) as Module).apply(x),
    };
  }

  /** States before the first step, each cut by layer and direction into [B, H]. */
  private firstStates({ h0, c0 }: RecurrentInputs, x: Tensor): Tensor[][] {
    const shape = [this.layers * this.directions, x.dim(0), this.hiddenSize];
    if (c0 && this.cell.states === 1)
      fail("argument", `${at(this.cell.name)}: c0 is for an LSTM; this layer has no cell, leave it out`);
    const given = [
      { name: "h0", value: h0, learned: this.h_0 },
      { name: "c0", value: c0, learned: this.c_0 },
    ].slice(0, this.cell.states);
    return given.map(({ name, value, learned }) => {
      if (value) checkState(this.cell.name, name, value, shape);
      return unstack(value ?? learned?.unsqueeze(1).expand(shape) ?? zeros(shape, x.dtype));
    });
  }

  private masks(mask: Tensor | undefined, batch: number, steps: number): Tensor[] | undefined {
    if (!mask) return undefined;
    checkMask(this.cell.name, mask, batch, steps);
    return unstack(mask.transpose().unsqueeze(-1)); // [B, 1] for every step
  }

  private resetForgetGate(): void {
    const { forgetGate, name } = this.cell;
    const { forgetBias } = this;
    if (forgetBias === undefined || forgetGate === undefined) return;
    const H = this.hiddenSize;
    for (const suffix of this.suffixes()) {
      const { bias, bias_hh } = this.weights(suffix);
      if (!bias) fail("argument", `${name}: forgetBias needs biases; leave out bias: false`);
      const fill = (variable: Variable, value: number) => {
        // Fresh or just reset: the value is on the host.
        const values = Float32Array.from((variable.current as NDArray).toNumbers());
        variable.set(NDArray.from(values.fill(value, forgetGate * H, (forgetGate + 1) * H), "float32", variable.shape));
      };
      fill(bias, forgetBias);
      if (bias_hh) fill(bias_hh, 0);
    }
  }
}

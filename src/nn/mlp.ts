/**
 * The second sublayer of a block, as a value.
 *
 *   plain:  y = φ(x Wu) Wd                   ReLU, GELU;     hidden width 4 · width
 *   gated:  y = (φ(x Wg) ⊙ x Wu) Wd          SwiGLU, GeGLU;  hidden width 8/3 · width, to the nearest multiple of 8,
 *                                            so that both kinds have about as many parameters
 *
 * Source of the gated ones: "GLU Variants Improve Transformer", 2020.
 */
import { fail } from "../tensor/errors.js";
import type { Tensor } from "../tensor/index.js";
import { closest } from "./closest.js";
import { Linear } from "./linear.js";
import { Module } from "./module.js";

export type Activation = (x: Tensor) => Tensor;

export interface MLPOptions {
  /** Width between the two matrices. */
  readonly hidden?: number;
  /** Biases (default: as the model around it). */
  readonly bias?: boolean;
}

export class MLP extends Module {
  readonly up_proj: Linear;
  readonly down_proj: Linear;

  constructor(
    width: number,
    readonly activation: Activation,
    { hidden = 4 * width, bias = false }: MLPOptions = {},
  ) {
    super();
    this.up_proj = new Linear(width, hidden, { bias });
    this.down_proj = new Linear(hidden, width, { bias });
  }

  override forward(x: Tensor): Tensor {
    return this.down_proj.apply(this.activation(this.up_proj.apply(x)));
  }
}

export class GatedMLP extends Module {
  readonly gate_proj: Linear;
  readonly up_proj: Linear;
  readonly down_proj: Linear;

  constructor(
    width: number,
    readonly activation: Activation,
    { hidden = 8 * Math.max(1, Math.round(width / 3)), bias = false }: MLPOptions = {},
  ) {
    super();
    this.gate_proj = new Linear(width, hidden, { bias });
    this.up_proj = new Linear(width, hidden, { bias });
    this.down_proj = new Linear(hidden, width, { bias });
  }

  override forward(x: Tensor): Tensor {
    return this.down_proj.apply(this.activation(this.gate_proj.apply(x)).mul(this.up_proj.apply(x)));
  }
}

/** Makes the MLP of a block `width` wide. `options.bias` is what the model around it asks for. */
export type MLPFactory = (width: number, options: { readonly bias: boolean }) => Module;

const plain =
  (activation: Activation) =>
  (own: MLPOptions = {}): MLPFactory =>
  (width, options) =>
    new MLP(width, activation, { ...options, ...own });
const gated =
  (activation: Activation) =>
  (own: MLPOptions = {}): MLPFactory =>
  (width, options) =>
    new GatedMLP(width, activation, { ...options, ...own });

export const reluMLP = plain((x) => x.relu());
/** GELU(x) = x Φ(x), exact. */
export const geluMLP = plain((x) => x.gelu());
/** GPT-2's GELU: Φ by a tanh. */
export const geluTanhMLP = plain((x) => x.gelu({ approximate: "tanh" }));
export const swiglu = gated((x) => x.silu());
export const geglu = gated((x) => x.gelu());
export const gegluTanh = gated((x) => x.gelu({ approximate: "tanh" }));

const named = { relu: reluMLP, gelu: geluMLP, "gelu-tanh": geluTanhMLP, swiglu, geglu, "geglu-tanh": gegluTanh };
export type MLPName = keyof typeof named;
/** A name, or a value such as `swiglu({ hidden: 168 })`. */
export type MLPOption = MLPName | MLPFactory;

/** `hidden` is for MLPs told by name. Throws for unknown names. */
export function mlpFactory(option: MLPOption, hidden?: number): MLPFactory {
  if (typeof option === "function") return option;
  if (Object.hasOwn(named, option)) return named[option](hidden === undefined ? {} : { hidden });
  return fail("argument", `mlp: there is no "${option as string}"${closest(option, Object.keys(named))}`);
}

/**
 * A transformer block: attention, then MLP, each a residual sublayer with norms where the placement puts them.
 *
 *   x = stream(x + output(Attention(scale · input(x))));   x = stream(x + output(MLP(scale · input(x))))
 *
 * Decoder or encoder: the attention's mask says. Names are those of Llama- and Gemma-style checkpoints.
 */
import type { Tensor } from "../tensor/index.js";
import { Attention, type AttentionInputs, type AttentionOptions } from "./attention.js";
import { type MLPOption, mlpFactory } from "./mlp.js";
import { Module } from "./module.js";
import { type NormOption, normFactory } from "./norm/index.js";
import {
  addResidual,
  makeNorms,
  type NormName,
  type Placement,
  pre,
  type SublayerModules,
  type SublayerNorms,
} from "./placement/index.js";

export interface BlockParts {
  readonly attention: Module<[Tensor, AttentionInputs?]>;
  readonly mlp: Module;
  readonly placement: Placement;
  /** The norms the placement names. */
  readonly norms: Partial<Record<NormName, Module>>;
  /** Dropout on what each sublayer adds (default 0). */
  readonly dropout?: number;
}

export class Block extends Module<[Tensor, AttentionInputs?]> {
  readonly self_attn: Module<[Tensor, AttentionInputs?]>;
  readonly mlp: Module;
  readonly input_layernorm: Module | undefined;
  readonly post_attention_layernorm: Module | undefined;
  readonly pre_feedforward_layernorm: Module | undefined;
  readonly post_feedforward_layernorm: Module | undefined;
  readonly placement: Placement;
  readonly dropout: number;

  constructor({ attention, mlp, placement, norms, dropout = 0 }: BlockParts) {
    super();
    this.self_attn = attention;
    this.mlp = mlp;
    this.input_layernorm = norms.input_layernorm;
    this.post_attention_layernorm = norms.post_attention_layernorm;
    this.pre_feedforward_layernorm = norms.pre_feedforward_layernorm;
    this.post_feedforward_layernorm = norms.post_feedforward_layernorm;
    this.placement = placement;
    this.dropout = dropout;
  }

  override forward(x: Tensor, inputs?: AttentionInputs): Tensor {
    const { attention, mlp, parallel } = this.placement;
    const middle = addResidual(x, (h) => this.self_attn.apply(h, inputs), this.norms(attention));
    return addResidual(parallel ? x : middle, (h) => this.mlp.apply(h), this.norms(mlp), middle);
  }

  private norms({ input, output, stream, scale }: SublayerNorms): SublayerModules {
    return {
      input: input && this[input],
      output: output && this[output],
      stream: stream && this[stream],
      scale,
      dropout: this.dropout,
    };
  }
}

/** Biases: everywhere or nowhere, or told part by part (default false each). */
export type Biases =
  | boolean
  | { readonly attention?: boolean | "qkv"; readonly mlp?: boolean; readonly norm?: boolean };

export interface BlockOptions extends Omit<AttentionOptions, "bias"> {
  /** In the place of softmax attention, which the other options then do not describe. */
  readonly attention?: Module<[Tensor, AttentionInputs?]>;
  /** Where norms sit (default `pre()`). */
  readonly placement?: Placement;
  /** Default "rms". */
  readonly norm?: NormOption;
  /** Default "swiglu". */
  readonly mlp?: MLPOption;
  /** On linear layers and LayerNorms (default false). */
  readonly bias?: Biases;
}

/** A block on a stream `width` wide, from values. */
export function block(width: number, options: BlockOptions): Block {
  const { placement = pre(), norm = "rms", mlp = "swiglu", dropout = 0 } = options;
  const bias = biasesOf(options.bias);
  const make = normFactory(norm, bias.norm);
  const norms: Partial<Record<NormName, Module>> = {};
  for (const sublayer of [placement.attention, placement.mlp]) {
    const made = makeNorms(width, sublayer, make);
    for (const position of ["input", "output", "stream"] as const) {
      const [name, module] = [sublayer[position], made[position]];
      if (name && module) norms[name] = module;
    }
  }
  const attention = options.attention ?? new Attention(width, { ...options, bias: bias.attention });
  return new Block({ attention, mlp: mlpFactory(mlp)(width, { bias: bias.mlp }), placement, norms, dropout });
}

export function biasesOf(option: Biases = false): Required<Exclude<Biases, boolean>> {
  if (typeof option === "boolean") return { attention: option, mlp: option, norm: option };
  return { attention: false, mlp: false, norm: false, ...option };
}

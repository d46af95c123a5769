/**
 * A residual sublayer: any module on a stream `width` wide, with norms where a placement puts them.
 *
 *   y = stream(x + dropout(output(module(scale · input(x)))))          x, y: [..., width]
 *
 * `residual(module, 384, peri().attention)` is Peri-LN around a module of your own.
 */
import { fail, type Tensor } from "../../tensor/index.js";
import { dropout } from "../dropout.js";
import { filled } from "../initial.js";
import { Module } from "../module.js";
import { type NormFactory, type NormOption, normFactory } from "../norm/index.js";
import { checkSublayer, type SublayerNorms } from "./placement.js";

/** The norms of a sublayer, made; an absent one is the identity. */
export interface SublayerModules {
  readonly input?: Module | undefined;
  readonly output?: Module | undefined;
  readonly stream?: Module | undefined;
  readonly scale?: number | undefined;
  /** Dropout on what is added, after the output norm (default 0). */
  readonly dropout?: number;
}

/** The formula of every placement. `onto`: what the output is added to, where it is not what the module reads. */
export function addResidual(
  x: Tensor,
  module: (x: Tensor) => Tensor,
  norms: SublayerModules,
  onto: Tensor = x,
): Tensor {
  const { input, output, stream, scale = 1, dropout: rate = 0 } = norms;
  const read = input ? input.apply(x) : x;
  const made = module(scale === 1 ? read : read.mul(scale));
  const y = onto.add(dropout(output ? output.apply(made) : made, rate));
  return stream ? stream.apply(y) : y;
}

/** Make a sublayer's norms. Throws where the placement sets an output gain and the norm has none. */
export function makeNorms(width: number, norms: SublayerNorms, norm: NormFactory): SublayerModules {
  const { input, output, stream, scale, outputGain } = norms;
  const made = { input: input && norm(width), output: output && norm(width), stream: stream && norm(width), scale };
  if (!made.output || !outputGain) return made;
  const gain = made.output.namedVariables().get("weight");
  if (!gain) fail("argument", 'placement: outputGainInit and trainOutputGain need an output norm with a gain "weight"');
  gain.set(filled(gain.shape, outputGain.initial));
  gain.trainable = outputGain.trainable;
  return made;
}

export interface ResidualOptions {
  readonly norm?: NormOption;
  readonly dropout?: number;
}

export class Residual extends Module {
  readonly module: Module;
  readonly input_norm: Module | undefined;
  readonly output_norm: Module | undefined;
  readonly stream_norm: Module | undefined;
  private readonly scale: number | undefined;
  private readonly dropout: number;

  constructor(
    module: Module,
    width: number,
    placement: SublayerNorms,
    { norm = "rms", dropout = 0 }: ResidualOptions = {},
  ) {
    super();
    const norms = makeNorms(width, checkSublayer(placement, "residual"), normFactory(norm));
    this.module = module;
    this.input_norm = norms.input;
    this.output_norm = norms.output;
    this.stream_norm = norms.stream;
    this.scale = norms.scale;
    this.dropout = dropout;
  }

  override forward(x: Tensor): Tensor {
    const { input_norm: input, output_norm: output, stream_norm: stream, scale, dropout } = this;
    return addResidual(x, (h) => this.module.apply(h), { input, output, stream, scale, dropout });
  }
}

export const residual = (
  module: Module,
  width: number,
  placement: SublayerNorms,
  options?: ResidualOptions,
): Residual => new Residual(module, width, placement, options);

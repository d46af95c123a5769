/**
 * A placement says where norms sit around the two sublayers of a transformer block. It is data: for each sublayer,
 *
 *   y = stream(x + output(module(scale · input(x))))          x, y: [batch, tokens, width]
 *
 * where `input`, `output` and `stream` are the checkpoint names of the norms at these positions, and an absent one is
 * the identity. A strategy chooses the placement of every block, so papers that mix placements need no new block.
 */
import { fail } from "../../tensor/errors.js";

/** The names Llama- and Gemma-style checkpoints use. Which position a name means depends on the placement. */
export const normNames = [
  "input_layernorm",
  "post_attention_layernorm",
  "pre_feedforward_layernorm",
  "post_feedforward_layernorm",
] as const;
export type NormName = (typeof normNames)[number];

export interface SublayerNorms {
  readonly input?: NormName;
  readonly output?: NormName;
  readonly stream?: NormName;
  /** Constant factor on what the module reads (default 1); only for Pre-LN sublayers. */
  readonly scale?: number;
  /** First value of the output norm's gain (default: the norm's own, 1), and whether it is trained (default true). */
  readonly outputGain?: { readonly initial: number; readonly trainable: boolean };
}

export interface Placement {
  /** "pre", "post", …: for messages and reports. */
  readonly kind: string;
  readonly attention: SublayerNorms;
  readonly mlp: SublayerNorms;
  /** The MLP reads the block's input, not the attention's output (GPT-NeoX; default false). */
  readonly parallel?: boolean;
}

/** The placement of block `layer` (from 0) in a stack of `depth` blocks. */
export type PlacementStrategy = (layer: number, depth: number) => Placement;

/** The norms of a placement, in the order the data meets them. */
export const normsOf = ({ attention, mlp }: Placement): NormName[] =>
  [attention.input, attention.output, attention.stream, mlp.input, mlp.output, mlp.stream].filter(
    (name) => name !== undefined,
  );

/** Throws where a placement contradicts itself: one name at two positions, or a scale that is not a Pre-LN one. */
export function checkPlacement(placement: Placement, layer: number): Placement {
  const names = normsOf(placement);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice) fail("argument", `placement "${placement.kind}", block ${layer}: ${twice} stands at two positions`);
  checkSublayer(placement.attention, `placement "${placement.kind}", block ${layer}, attention`);
  checkSublayer(placement.mlp, `placement "${placement.kind}", block ${layer}, mlp`);
  return placement;
}

export function checkSublayer(norms: SublayerNorms, where: string): SublayerNorms {
  const { scale, input, output, stream } = norms;
  if (scale === undefined) return norms;
  if (!Number.isFinite(scale) || scale < 0)
    fail("argument", `${where}: expected a finite norm scale of at least 0, got ${scale}`);
  if (!input || output || stream)
    fail("argument", `${where}: a norm scale needs Pre-LN (an input norm only); remove the scale or use "pre"`);
  return norms;
}

/** Whether the norms of a block sit on the residual stream itself, so that its shortcut is no identity. */
export const isOnStream = ({ attention, mlp }: Placement): boolean => Boolean(attention.stream ?? mlp.stream);
/** Whether a block adds normalised outputs: a branch that starts at zero then has a huge gradient. */
export const normalizesOutput = ({ attention, mlp }: Placement): boolean => Boolean(attention.output ?? mlp.output);
/** Whether a block is Pre-LN: norms only on what its sublayers read. */
export const isPre = ({ attention, mlp }: Placement): boolean =>
  [attention, mlp].every(({ input, output, stream }) => input && !output && !stream);

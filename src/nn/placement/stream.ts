/**
 * Who writes to a model's residual stream and who reads it, by path. A Pre-LN model that can say so can be converted:
 * its gains folded, its writers recentred, its stream compressed.
 */
import { fail, type NDArray } from "../../tensor/index.js";
import { Attention } from "../attention.js";
import type { Block } from "../block.js";
import { Linear } from "../linear.js";
import { GatedMLP, MLP } from "../mlp.js";
import type { AnyModule } from "../module.js";
import { valueAt } from "../surgery.js";
import { isOnStream, isPre, type SublayerNorms } from "./placement.js";

/** A variable whose output is added to the stream; `axis` is the one that runs over the stream's features. */
export interface StreamWriter {
  readonly path: string;
  readonly axis: number;
  /** The module whose output is on the stream, where that is not the one that has the variable. */
  readonly source?: string;
}

/** Every reader starts with a norm; what follows is linear, so that the norm's gain can be folded into it. */
export interface StreamReader {
  readonly norm: string;
  /** Paths of the `Linear`s that read the norm's output. */
  readonly linears: readonly string[];
  /** The norm's output is multiplied by this first (LayerNorm Scaling). */
  readonly scale?: number;
}

export interface ResidualStream {
  readonly width: number;
  readonly writers: readonly StreamWriter[];
  readonly readers: readonly StreamReader[];
  /** A norm on the embeddings, which the stream starts with. */
  readonly start?: string | undefined;
  /** The head reads the token embedding's table. */
  readonly tied: boolean;
  /** Dropout on what is added to the stream. */
  readonly dropout: number;
}

/** A model that says who reads its norms. */
export interface ReadableStream extends AnyModule {
  /** Every norm whose output linear layers alone read, and those layers. Throws where a norm stands on the stream. */
  readers(): StreamReader[];
  /** Give a tied head a matrix of its own. */
  untie(): Promise<void>;
}

export interface StreamModel extends ReadableStream {
  /** Throws where the stream is read or written in another way, with the reason. */
  residualStream(): ResidualStream;
  /** A small input of the kind the model takes, to compare models on. */
  exampleInput(): NDArray;
}

/**
 * What reads the stream in one block at `path`, behind an input norm. Throws where a norm stands on the stream itself
 * (its shortcut reads the gain too), and for modules that are not plain.
 */
export function readersOfBlock(path: string, block: Block): StreamReader[] {
  const { placement, self_attn: attention, mlp } = block;
  if (isOnStream(placement))
    fail(
      "conversion",
      `${path} is "${placement.kind}": its norms stand on the stream, so the shortcut reads their gain too`,
    );
  const inputsOfAttention = inputsOf(attention);
  if (!inputsOfAttention)
    fail(
      "conversion",
      `${path}.self_attn is a ${attention.constructor.name}; expected Attention, or a module that names its inputLinears`,
    );
  if (!(mlp instanceof MLP || mlp instanceof GatedMLP))
    fail("conversion", `${path}.mlp is a ${mlp.constructor.name}; expected MLP or GatedMLP`);
  const inputsOfMlp = mlp instanceof MLP ? ["up_proj"] : ["gate_proj", "up_proj"];
  const reader = ({ input, scale = 1 }: SublayerNorms, sublayer: string, linears: readonly string[]): StreamReader[] =>
    input ? [{ norm: `${path}.${input}`, linears: linears.map((name) => `${path}.${sublayer}.${name}`), scale }] : [];
  return [...reader(placement.attention, "self_attn", inputsOfAttention), ...reader(placement.mlp, "mlp", inputsOfMlp)];
}

/** Names of the linear layers that alone read a module's input, where it says so. */
function inputsOf(module: object): readonly string[] | undefined {
  if (module instanceof Attention) return ["q_proj", "k_proj", "v_proj"];
  return "inputLinears" in module ? (module.inputLinears as readonly string[]) : undefined;
}

/** What writes to the stream in one Pre-LN block at `path`. Throws for other placements and for wrapped matrices. */
export function writersOfBlock(path: string, block: Block): StreamWriter[] {
  if (!isPre(block.placement))
    fail(
      "conversion",
      `${path} is "${block.placement.kind}": only in Pre-LN blocks does every reader start with a norm and the stream stay free of them`,
    );
  readersOfBlock(path, block); // refuses what is not plain
  if (!(block.self_attn instanceof Attention))
    fail("conversion", `${path}.self_attn is a ${block.self_attn.constructor.name}; expected Attention`);
  return ["self_attn.o_proj", "mlp.down_proj"].flatMap((name) => {
    const linear = valueAt(block, name) as AnyModule;
    requirePlain(`${path}.${name}`, linear);
    return linearWriter(`${path}.${name}`, linear as Linear);
  });
}

/** The weight and bias of a linear layer or a convolution, which both write to the stream. */
export const linearWriter = (path: string, { bias }: Pick<Linear, "bias">): StreamWriter[] => [
  { path: `${path}.weight`, axis: 0 },
  ...(bias ? [{ path: `${path}.bias`, axis: 0 }] : []),
];

/** Adapters and other wrappers add to the stream beside the weight: they must be merged first. */
function requirePlain(path: string, module: AnyModule): void {
  const extra = [...module.namedVariables().keys()].filter((name) => name !== "weight" && name !== "bias");
  if (!(module instanceof Linear) || extra.length > 0)
    fail(
      "conversion",
      `${path} is a ${module.constructor.name}${extra.length ? ` with ${extra.join(", ")}` : ""}, which writes to the stream beside a plain weight; merge it first`,
    );
}

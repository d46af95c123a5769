/**
 * BERT: an encoder of text that sees both sides. Post-LN as the original, or any norm at any placement.
 *
 *   x = Norm(words + positions + token types);   x = block(x) for each;   [x = Norm(x) where no norm ends the last block]
 *
 * Its parts beside the encoder: a pooler tanh(W x₀ + b), a masked-language-model head Norm(act(W x + b)) Eᵀ + c over the word
 * table E, a next-sentence head and a classification head on the pooler (without a pooler: of every token). Which tokens are
 * real is the side input "padding": `withInputs({ padding }, () => model.apply(tokens))`.
 *
 * Source: "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding", 2018.
 */
import {
  type Block,
  block,
  dropout,
  Embedding,
  type InitializationOptions,
  initialize,
  isOnStream,
  Linear,
  layerNorm,
  Module,
  mlpFactory,
  type NormFactory,
  type NormOption,
  normFactory,
  type PlacementOption,
  placementStrategy,
  sideInput,
  uninitialized,
} from "../nn/index.js";
import { arange, fail, formatShape, linear, NDArray, type Tensor, Variable, zeros } from "../tensor/index.js";
import { bertLayouts, describeBert } from "./bert-layout.js";
import type { JsonObject } from "./pretrained/hf-config.js";
import type { Layout } from "./pretrained/layout.js";

export interface BertOptions {
  readonly vocabulary: number;
  /** Default 12. */
  readonly layers?: number;
  /** Default 768. */
  readonly width?: number;
  /** Default 12. */
  readonly heads?: number;
  /** Width inside the MLPs (default 4 · width). */
  readonly hidden?: number;
  /** Longest input in tokens (default 512). */
  readonly context?: number;
  /** Kinds of tokens, as of a first and a second sentence (default 2). */
  readonly tokenTypes?: number;
  /** Default a LayerNorm with ε = 1e-12, as the original. */
  readonly norm?: NormOption;
  /** Default "post". */
  readonly placement?: PlacementOption;
  /** Activation of the MLPs and of the masked-language-model head (default "gelu"). */
  readonly mlp?: "gelu" | "gelu-tanh" | "relu";
  /** Default: where the next-sentence head needs it. */
  readonly pooler?: boolean;
  readonly maskedLM?: boolean;
  readonly nextSentence?: boolean;
  /** A classification head (default: none). */
  readonly classes?: number;
  readonly dropout?: number;
  readonly initialization?: Omit<InitializationOptions, "seed"> | "none";
  readonly seed?: number;
}

export interface BertInputs {
  /** int32 or int64 [batch, tokens] (default: all 0). */
  readonly tokenTypes?: Tensor;
}

/** Norm(act(W x + b)), and the bias of its logits. */
class Predictions extends Module {
  readonly dense: Linear;
  readonly norm: Module;
  readonly bias: Variable; // [vocabulary]

  constructor(
    width: number,
    vocabulary: number,
    norm: NormFactory,
    readonly act: (x: Tensor) => Tensor,
  ) {
    super();
    this.dense = new Linear(width, width);
    this.norm = norm(width);
    this.bias = new Variable(NDArray.zeros([vocabulary]));
  }

  override forward(x: Tensor): Tensor {
    return this.norm.apply(this.act(this.dense.apply(x)));
  }
}

export const activationOf = (name: BertOptions["mlp"] = "gelu"): ((x: Tensor) => Tensor) =>
  ({
    gelu: (x: Tensor) => x.gelu(),
    "gelu-tanh": (x: Tensor) => x.gelu({ approximate: "tanh" }),
    relu: (x: Tensor) => x.relu(),
  })[name];

export class Bert extends Module<[Tensor, BertInputs?]> {
  readonly embed_tokens: Embedding;
  readonly embed_positions: Embedding;
  readonly embed_types: Embedding;
  readonly embed_norm: Module;
  readonly layers: Block[];
  readonly norm: Module | undefined;
  readonly pooler: Linear | undefined;
  readonly predictions: Predictions | undefined;
  readonly seq_relationship: Linear | undefined;
  readonly classifier: Linear | undefined;

  /** See `bert`. */
  constructor(readonly options: BertOptions) {
    super();
    const { vocabulary, layers = 12, width = 768, heads = 12, hidden = 4 * width, context = 512 } = options;
    const { tokenTypes = 2, placement = "post", mlp = "gelu", dropout: rate = 0, classes = 0 } = options;
    const { norm = (n: number) => layerNorm(n, { eps: 1e-12 }), nextSentence = false, pooler = nextSentence } = options;
    if (nextSentence && !pooler)
      fail("argument", "bert: the next-sentence head reads the pooler; leave out pooler: false");
    const [make, strategy] = [normFactory(norm), placementStrategy(placement)];
    this.embed_tokens = new Embedding(vocabulary, width);
    this.embed_positions = new Embedding(context, width);
    this.embed_types = new Embedding(tokenTypes, width);
    this.embed_norm = make(width);
    const parts = { heads, norm: make, mlp: mlpFactory(mlp, hidden), bias: true, dropout: rate };
    this.layers = Array.from({ length: layers }, (_, l) => block(width, { ...parts, placement: strategy(l, layers) }));
    const last = this.layers.at(-1)?.placement;
    this.norm = last && !isOnStream(last) ? make(width) : undefined;
    this.pooler = pooler ? new Linear(width, width) : undefined;
    this.predictions = options.maskedLM ? new Predictions(width, vocabulary, make, activationOf(mlp)) : undefined;
    this.seq_relationship = nextSentence ? new Linear(width, 2) : undefined;
    this.classifier = classes > 0 ? new Linear(width, classes) : undefined;
  }

  /** Tokens, int32 or int64 [batch, tokens] → the encoder's last stream [batch, tokens, width]. */
  override forward(tokens: Tensor, inputs: BertInputs = {}): Tensor {
    const padding = sideInput("padding");
    const x = this.embed(tokens, inputs);
    const stream = this.layers.reduce((y, layer) => layer.apply(y, padding && { padding }), x);
    return this.norm ? this.norm.apply(stream) : stream;
  }

  /** The stream before the first block. Throws for tokens of another type and shape, and for more than the context. */
  embed(tokens: Tensor, { tokenTypes }: BertInputs = {}): Tensor {
    const context = this.embed_positions.weight.dim(0);
    if (tokens.rank !== 2 || tokens.dim(1) > context)
      fail("shape", `bert: expected tokens [batch, at most ${context}], got ${formatShape(tokens.shape)}`);
    const types = tokenTypes ?? zeros(tokens.shape, "int32");
    const words = this.embed_tokens.apply(tokens).add(this.embed_positions.apply(arange(tokens.dim(1))));
    return this.drop(this.embed_norm.apply(words.add(this.embed_types.apply(types))));
  }

  /** tanh(W x₀ + b) [batch, width] of the encoder's stream. */
  pooled(stream: Tensor): Tensor {
    const pooler = this.part("pooler", this.pooler);
    const [B, , width] = stream.shape as [number, number, number];
    return this.inside(() => pooler.apply(stream.slice({ axis: 1, end: 1 }).reshape([B, width])).tanh());
  }

  /** Logits [batch, tokens, vocabulary] of the words that stand (or stood) where the stream is. */
  words(stream: Tensor): Tensor {
    const predictions = this.part("maskedLM", this.predictions);
    return this.inside(() => linear(predictions.apply(stream), this.embed_tokens.weight, predictions.bias));
  }

  /** Logits [batch, 2]: the second sentence follows the first one, or does not. */
  follows(stream: Tensor): Tensor {
    const head = this.part("nextSentence", this.seq_relationship);
    return this.inside(() => head.apply(this.pooled(stream)));
  }

  /** Logits [batch, classes]; without a pooler of every token, [batch, tokens, classes]. */
  classify(stream: Tensor): Tensor {
    const head = this.part("classes", this.classifier);
    return this.inside(() => head.apply(this.drop(this.pooler ? this.pooled(stream) : stream)));
  }

  private drop(x: Tensor): Tensor {
    return dropout(x, this.options.dropout ?? 0);
  }

  private part<M>(name: keyof BertOptions, module: M | undefined): M {
    return module ?? fail("argument", `bert: the model was built without ${name}; give it to bert({ ${name}: … })`);
  }

  /** Hugging Face's names; they have only Post-LN. */
  layouts(): readonly Layout[] {
    return this.layers.every(({ placement }) => placement.kind === "post") ? bertLayouts : [];
  }

  /** Hugging Face's `config.json`. Throws for norms and placements it has no word for. */
  describe(): JsonObject {
    return describeBert(this);
  }
}

/**
 * A model from values, matrices and tables N(0, 0.02) by the seed. Throws for heads that do not divide the width and for
 * unknown names.
 */
export function bert(options: BertOptions): Bert {
  const model = uninitialized(() => new Bert(options));
  const { initialization = {}, seed = 0 } = options;
  if (initialization !== "none") initialize(model, { ...initialization, seed });
  return model;
}

/**
 * A language model that reads token by token: embedding, recurrent layers, a head. Names are those of PyTorch's
 * word-level example: `encoder.weight`, `rnn.weight_ih_l0`, `decoder.weight`.
 *
 *   logits = decoder(drop(rnn(drop(encoder(ids)))))
 *
 * It trains as `gpt` does, `crossEntropy(model.apply(tokens), targets)`; `read` also takes and gives the state, to go on
 * with the next window or to generate. Source: "Recurrent Neural Network Regularization", 2014.
 */
import {
  dropout as drop,
  Embedding,
  gru,
  initialize,
  initializeRecurrent,
  Linear,
  lstm,
  Module,
  type Recurrent,
  type RecurrentInputs,
  rnn,
} from "../nn/index.js";
import { fail, formatShape, linear, NDArray, type Tensor, Variable } from "../tensor/index.js";

const cells = { rnn, lstm, gru } as const;

export interface RecurrentLMOptions {
  readonly vocabulary: number;
  /** H of every recurrent layer (default 256). */
  readonly hidden?: number;
  /** Width of the embeddings (default: as `hidden`). */
  readonly embeddingWidth?: number;
  readonly layers?: number;
  /** "lstm" (default), "gru" or "rnn". */
  readonly cell?: keyof typeof cells;
  /** Normalise inside every step (default false). */
  readonly layerNorm?: boolean;
  /** On the embeddings, between layers and before the head (default 0). */
  readonly dropout?: number;
  /** The head reads the embedding table, and adds a bias of its own (default false). */
  readonly tieEmbeddings?: boolean;
  /** Factor on the recurrent layers' first matrices (default 1). */
  readonly scale?: number;
  readonly seed?: number;
}

export interface ReadOutput {
  /** [batch, time, vocabulary] */
  readonly logits: Tensor;
  /** Last states [layers, batch, hidden]; c in an LSTM alone. */
  readonly h: Tensor;
  readonly c: Tensor | undefined;
}

export class RecurrentLM extends Module<[Tensor, RecurrentInputs?]> {
  readonly encoder: Embedding;
  readonly rnn: Recurrent;
  readonly decoder: Linear | undefined;
  readonly decoder_bias: Variable | undefined; // [vocabulary], of a tied head

  constructor(readonly options: RecurrentLMOptions) {
    super();
    const { vocabulary, hidden = 256, embeddingWidth = hidden, cell = "lstm", tieEmbeddings = false } = options;
    const { layers = 1, layerNorm = false, dropout = 0 } = options;
    if (!Object.hasOwn(cells, cell))
      fail("argument", `recurrentLM: expected cell to be one of ${Object.keys(cells).join(", ")}, got "${cell}"`);
    if (tieEmbeddings && embeddingWidth !== hidden)
      fail(
        "argument",
        `recurrentLM: a tied head needs embeddingWidth = hidden, got ${embeddingWidth} and ${hidden}; leave out embeddingWidth`,
      );
    this.encoder = new Embedding(vocabulary, embeddingWidth);
    this.rnn = cells[cell](embeddingWidth, hidden, { layers, layerNorm, dropout });
    this.decoder = tieEmbeddings ? undefined : new Linear(hidden, vocabulary);
    this.decoder_bias = tieEmbeddings ? new Variable(NDArray.zeros([vocabulary])) : undefined;
  }

  /** Logits [batch, time, vocabulary] of the next token. `tokens`: int32 or int64 [batch, time]. */
  override forward(tokens: Tensor, inputs?: RecurrentInputs): Tensor {
    return this.readout(tokens, inputs).logits;
  }

  /** The same from a state, and with the one it ends in. */
  read(tokens: Tensor, inputs?: RecurrentInputs): ReadOutput {
    return this.inside(() => this.readout(tokens, inputs));
  }

  private readout(tokens: Tensor, inputs?: RecurrentInputs): ReadOutput {
    if (tokens.rank !== 2)
      fail("shape", `recurrentLM: expected tokens [batch, time], got ${formatShape(tokens.shape)}`);
    const { dropout = 0 } = this.options;
    const { outputs, h, c } = this.rnn.apply(drop(this.encoder.apply(tokens), dropout), inputs);
    const features = drop(outputs, dropout);
    const logits = this.decoder
      ? this.decoder.apply(features)
      : linear(features, this.encoder.weight, this.decoder_bias);
    return { logits, h, c };
  }
}

/**
 * A model from values: embeddings N(0, 0.1), head N(0, 1/hidden), recurrent layers as `initializeRecurrent`. Throws for
 * sizes that are no positive whole numbers, an unknown cell, and a tied head of another width.
 */
export function recurrentLM(options: RecurrentLMOptions): RecurrentLM {
  const model = new RecurrentLM(options);
  resetRecurrentLM(model, options);
  return model;
}

/** Start a model again, from another seed. */
export function resetRecurrentLM(
  model: RecurrentLM,
  { scale = 1, seed = 0 }: Pick<RecurrentLMOptions, "scale" | "seed"> = {},
): void {
  initialize(model, { std: 1 / Math.sqrt(model.rnn.hiddenSize), embeddingStd: 0.1, seed });
  initializeRecurrent(model, { scale, seed });
  model.decoder_bias?.set(NDArray.zeros(model.decoder_bias.shape));
}

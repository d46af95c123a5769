/**
 * A decoder-only language model, GPT-2- or Llama-style by its values: norms, placement, MLP and positions are passed
 * in and compose. Names are those of Llama's checkpoints: `model.layers.3.self_attn.q_proj.weight`.
 *
 *   x = scale · embed(ids) [+ positions];  [x = Norm(x)];  x = block(x) for each block;  logits = cap(head(Norm(x)))
 */
import {
  type AttentionInputs,
  type Biases,
  type Block,
  biasesOf,
  block,
  causal,
  Embedding,
  type InitializationOptions,
  initialize,
  isOnStream,
  Linear,
  type Mask,
  type MLPOption,
  Module,
  mlpFactory,
  type NormFactory,
  type NormOption,
  normalizesOutput,
  normFactory,
  type Placement,
  type PlacementOption,
  type Positions,
  type PositionsOption,
  placementStrategy,
  positionsValue,
  type ResidualStream,
  type StreamReader,
  uninitialized,
  warn,
} from "../nn/index.js";
import {
  arange,
  fail,
  formatShape,
  linear,
  NDArray,
  philoxUniform,
  structureChanged,
  type Tensor,
} from "../tensor/index.js";
import { readersOfGPT, streamOfGPT } from "./gpt-stream.js";
import { checkNormNames, offsetGains } from "./norm-names.js";
import type { HFConfig } from "./pretrained/hf-config.js";

export interface GPTOptions {
  /** One dial: layers = depth, width = 64 · depth, heads of width 64. Anything given beside it wins. */
  readonly depth?: number;
  readonly layers?: number;
  readonly width?: number;
  readonly heads?: number;
  /** Key/value heads (default: as many as heads). */
  readonly kvHeads?: number;
  readonly headWidth?: number;
  readonly vocabulary: number;
  /** Longest input in tokens (default 1024). */
  readonly context?: number;
  /** "rms" (default), "layer", or a function of the width. */
  readonly norm?: NormOption;
  /** "pre" (default), "post", "peri", "output", "mix", "lns", a value, or a function of (layer, depth). */
  readonly placement?: PlacementOption;
  /** "swiglu" (default), "gelu", "relu", "geglu", or a value such as `swiglu({ hidden: 168 })`. */
  readonly mlp?: MLPOption;
  /** Width between the matrices of an MLP told by name (default: as the MLP). */
  readonly hidden?: number;
  /** "rotary" (default), "learned", "sinusoidal", "alibi", "none". */
  readonly positions?: PositionsOption;
  /** Who sees whom (default `causal()`), for all blocks or by (layer, depth). */
  readonly mask?: Mask | ((layer: number, depth: number) => Mask);
  /** Norm on the embeddings (default: where the first block is Peri-LN). */
  readonly embedNorm?: boolean;
  /** Norm before the head (default true). */
  readonly finalNorm?: boolean;
  /** Normalise queries and keys in each head (default false). */
  readonly qkNorm?: boolean;
  /** Biases on linear layers and LayerNorms (default false), or told part by part. */
  readonly bias?: Biases;
  /** Factor on attention scores (default 1/√headWidth). */
  readonly attentionScale?: number;
  /** Caps on attention scores and on logits, approached smoothly, as in Gemma 2 (default: none). */
  readonly attentionSoftcap?: number;
  readonly logitSoftcap?: number;
  /** Factor on the token embeddings (default 1; Gemma: √width). */
  readonly embeddingScale?: number;
  /** The head reads the embedding table (default false). */
  readonly tieEmbeddings?: boolean;
  readonly dropout?: number;
  /** How weights start; "none": at 0, for those that are loaded right afterwards. */
  readonly initialization?: Omit<InitializationOptions, "seed"> | "none";
  readonly seed?: number;
}

/** Everything below the head: embeddings, blocks, final norm. */
class Decoder extends Module<[Tensor, AttentionInputs?]> {
  readonly embed_tokens: Embedding;
  readonly embed_positions: Embedding | undefined;
  readonly embed_norm: Module | undefined;
  readonly layers: Block[];
  readonly norm: Module | undefined;
  readonly embeddingScale: number;

  constructor(
    parts: Pick<Decoder, "embed_tokens" | "embed_positions" | "embed_norm" | "layers" | "norm" | "embeddingScale">,
  ) {
    super();
    this.embeddingScale = parts.embeddingScale;
    this.embed_tokens = parts.embed_tokens;
    this.embed_positions = parts.embed_positions;
    this.embed_norm = parts.embed_norm;
    this.layers = parts.layers;
    this.norm = parts.norm;
  }

  /** The stream before the first block. */
  embed(tokens: Tensor, { positions = arange(tokens.dim(1)) }: AttentionInputs = {}): Tensor {
    let x = this.embed_tokens.apply(tokens); // [B, T, width]
    if (this.embeddingScale !== 1) x = x.mul(this.embeddingScale);
    if (this.embed_positions) x = x.add(this.embed_positions.apply(positions));
    return this.embed_norm ? this.embed_norm.apply(x) : x;
  }

  override forward(tokens: Tensor, inputs?: AttentionInputs): Tensor {
    const x = this.layers.reduce((stream, layer) => layer.apply(stream, inputs), this.embed(tokens, inputs));
    return this.norm ? this.norm.apply(x) : x;
  }
}

export class GPT extends Module<[Tensor, AttentionInputs?]> {
  readonly model: Decoder;
  lm_head: Linear | undefined;
  /** The configuration of the public checkpoint it was built from, if it was. */
  source: HFConfig | undefined;

  constructor(
    model: Decoder,
    head: Linear | undefined,
    /** Its sizes, with defaults filled in. */
    readonly config: GPTConfig,
    /** What it was built from. */
    readonly options: GPTOptions,
  ) {
    super();
    this.model = model;
    this.lm_head = head;
  }

  /**
   * Logits [B, T, vocabulary] of the next token. `tokens`: int32 or int64 [B, T]; `padding`: bool [B, T], false where a
   * token is none. Throws for other types and shapes, and where T exceeds the context.
   */
  override forward(tokens: Tensor, inputs?: AttentionInputs): Tensor {
    this.checkTokens(tokens, inputs);
    return this.head(this.model.apply(tokens, inputs));
  }

  /** Logits [B, vocabulary] of what follows token `last` (int32 [B, 1]) of each row: the head runs on that one alone. */
  next(tokens: Tensor, last: Tensor, inputs?: AttentionInputs): Tensor {
    this.checkTokens(tokens, inputs);
    return this.inside(() => {
      const x = this.model.apply(tokens, inputs); // [B, T, width]
      const [B, T, width] = x.shape as [number, number, number];
      const row = T === 1 ? x : x.takeAlongAxis(last.unsqueeze(-1).expand([B, 1, width]), 1);
      return this.head(row.reshape([B, width]));
    });
  }

  /** The residual stream [B, T, width]: after the embedding, then after each block; all before the final norm. */
  hiddenStates(tokens: Tensor): Tensor[] {
    this.checkTokens(tokens);
    return this.inside(() => {
      const states = [this.model.embed(tokens)];
      for (const layer of this.model.layers) states.push(layer.apply(states.at(-1) as Tensor));
      return states;
    });
  }

  /** Logits from the stream after the last block. */
  readout(stream: Tensor): Tensor {
    return this.inside(() => this.head(this.model.norm ? this.model.norm.apply(stream) : stream));
  }

  /**
   * Floating-point operations for one token of training, as nanoGPT counts: 6 · (parameters in matrix products) +
   * 12 · layers · heads · head width · context.
   */
  flopsPerToken(tokens = this.config.context): number {
    const { layers, heads, headWidth } = this.config;
    return 6 * this.matmulParameters() + 12 * layers * heads * headWidth * tokens;
  }

  /** Parameters that take part in matrix products: all matrices but the look-up tables (a tied table counts once). */
  matmulParameters(): number {
    const matrices = [...this.namedModules().values()].filter((module) => module instanceof Linear);
    const tied = this.lm_head ? 0 : this.model.embed_tokens.weight.size;
    return tied + matrices.reduce((sum, { weight }) => sum + weight.size, 0);
  }

  /**
   * Load values by path, as `Module.loadStateDict`; `gainOffset: 1` for checkpoints that keep a gain g as g − 1 (Gemma).
   * Throws where the norms of a block are not those of its placement: Pre-LN and Post-LN share a name.
   */
  override loadStateDict(
    values: ReadonlyMap<string, NDArray>,
    { gainOffset = 0, ...options }: { readonly strict?: boolean; readonly gainOffset?: number } = {},
  ): void {
    checkNormNames(values, this.placements);
    super.loadStateDict(gainOffset === 0 ? values : offsetGains(values, gainOffset), options);
  }

  /** Who writes to and reads from the residual stream: what `toPreRMSNorm` and other conversions work on. */
  residualStream(): ResidualStream {
    return streamOfGPT(this);
  }

  readers(): StreamReader[] {
    return readersOfGPT(this);
  }

  /** Give a tied head a matrix of its own, first a copy of the embedding. */
  async untie(): Promise<void> {
    if (this.lm_head) return;
    const { weight, width } = this.model.embed_tokens;
    const head = uninitialized(() => new Linear(width, this.config.vocabulary, { bias: false }));
    head.weight.set(await weight.data());
    this.lm_head = head;
    structureChanged();
  }

  /** A few tokens, int32 [2, T], to compare models on. */
  exampleInput(): NDArray {
    const { vocabulary, context, seed } = this.config;
    const T = Math.min(context, 16);
    const ids = philoxUniform({ seed, site: "example" }, 2 * T).map((u) => Math.floor(u * vocabulary));
    return NDArray.from(ids, "int32", [2, T]);
  }

  get placements(): Placement[] {
    return this.model.layers.map(({ placement }) => placement);
  }

  /** Warn of a training plan that does not suit the model. `warmup`: steps in which the learning rate rises. */
  checkTraining({ warmup }: { readonly warmup: number }): void {
    const post = this.placements.flatMap((placement, layer) => (isOnStream(placement) ? [layer] : []));
    if (warmup <= 0 && post.length > 0)
      warn(`gpt: block ${post.join(", ")} is Post-LN, which diverges without a warm-up; warm up for 10 % of the steps`);
  }

  private head(x: Tensor): Tensor {
    const logits = this.lm_head ? this.lm_head.apply(x) : linear(x, this.model.embed_tokens.weight);
    const { logitSoftcap: cap } = this.config;
    return cap === undefined ? logits : logits.div(cap).tanh().mul(cap);
  }

  /** With a cache, positions say where tokens stand, and whoever feeds them keeps to the context. */
  private checkTokens(tokens: Tensor, { cache }: AttentionInputs = {}): void {
    const { context } = this.config;
    if (tokens.rank !== 2) fail("shape", `gpt: expected tokens [batch, length], got ${formatShape(tokens.shape)}`);
    if (tokens.dtype !== "int32" && tokens.dtype !== "int64")
      fail("dtype", `gpt: expected tokens of int32 or int64, got ${tokens.dtype}; feed NDArray.from(ids, "int32")`);
    if (!cache && tokens.dim(1) > context)
      fail(
        "shape",
        `gpt: ${tokens.dim(1)} tokens exceed the context of ${context}; shorten the input or build the model with a longer context`,
      );
  }
}

export interface GPTConfig {
  readonly layers: number;
  readonly width: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headWidth: number;
  readonly vocabulary: number;
  readonly context: number;
  readonly seed: number;
  readonly logitSoftcap: number | undefined;
}

/**
 * A model from values. Throws for sizes that are missing or do not fit (heads that do not divide the width), unknown
 * names, and a LayerNorm on width 1.
 */
export function gpt(options: GPTOptions): GPT {
  const config = sizes(options);
  const { layers, width, context, vocabulary, seed } = config;
  const { norm = "rms", bias = false, placement = "pre", mlp = "swiglu", dropout = 0, qkNorm = false } = options;
  const { tieEmbeddings = false, finalNorm = true, mask = causal(), initialization = {} } = options;
  const { embeddingScale = 1 } = options;
  const positions = positionsValue(options.positions ?? "rotary");
  const makeNorm = normFactory(norm, biasesOf(bias).norm);
  const strategy = placementStrategy(placement);
  const placements = Array.from({ length: layers }, (_, layer) => strategy(layer, layers));
  const { embedNorm = placements[0]?.kind === "peri" } = options;
  if (initialization !== "none") warnOfInitialization(placements, initialization);
  const model = uninitialized(
    () =>
      new GPT(
        new Decoder({
          embed_tokens: new Embedding(vocabulary, width),
          embed_positions: positions.embedding?.(context, width),
          embed_norm: embedNorm ? makeNorm(width) : undefined,
          embeddingScale,
          layers: placements.map((here, layer) =>
            block(width, {
              ...attentionOptions(config, options, positions, qkNorm ? makeNorm : undefined),
              mask: typeof mask === "function" ? mask(layer, layers) : mask,
              placement: here,
              norm: makeNorm,
              mlp: mlpFactory(mlp, options.hidden),
              bias,
              dropout,
            }),
          ),
          norm: finalNorm ? makeNorm(width) : undefined,
        }),
        tieEmbeddings ? undefined : new Linear(width, vocabulary, { bias: false }),
        config,
        options,
      ),
  );
  if (initialization !== "none") initialize(model, { ...initialization, seed });
  return model;
}

const attentionOptions = (
  { heads, kvHeads, headWidth }: GPTConfig,
  { attentionScale: scale, attentionSoftcap: softcap }: GPTOptions,
  positions: Positions,
  qkNorm: NormFactory | undefined,
) => ({
  heads,
  kvHeads,
  headWidth,
  positions,
  ...(scale !== undefined && { scale }),
  ...(softcap !== undefined && { softcap }),
  ...(qkNorm && { qkNorm }),
});

function sizes(options: GPTOptions): GPTConfig {
  const { depth, vocabulary, context = 1024, seed = 0, logitSoftcap } = options;
  const { layers = depth, width = depth && 64 * depth } = options;
  const {
    heads = options.headWidth ? width && width / options.headWidth : width && Math.max(1, Math.floor(width / 64)),
  } = options;
  for (const [name, n] of Object.entries({ layers, width, heads, vocabulary, context }))
    if (n === undefined || !Number.isInteger(n) || n < 1)
      fail(
        "argument",
        `gpt: expected ${name} to be a positive whole number, got ${n}${n === undefined ? "; give it, or depth" : ""}`,
      );
  const [L, D, H] = [layers, width, heads] as [number, number, number];
  const { headWidth = D / H, kvHeads = H } = options;
  return { layers: L, width: D, heads: H, kvHeads, headWidth, vocabulary, context, seed, logitSoftcap };
}

function warnOfInitialization(placements: readonly Placement[], { std, outputs }: InitializationOptions): void {
  if (outputs === "depth-scaled" && placements.some(({ kind }) => kind === "layer-norm-scaling"))
    warn("gpt: depth-scaled initialisation cancels LayerNorm Scaling, its authors state; use plain N(0, std)");
  if ((std === 0 || outputs === "zero") && placements.some(normalizesOutput))
    warn(
      "gpt: o_proj and down_proj start at 0 and an output norm reads them: its gradient is 1/√eps times too large; use plain N(0, std)",
    );
}

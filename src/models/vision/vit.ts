/**
 * Vision transformers (ViT, DeiT): an image as patches, a class token (and a distillation token) before them, learned
 * positions, a stack of transformer blocks with any norm at any placement, a linear head.
 *
 *   x = [class; (distillation;) patches] + positions;   x = block(x) for each;   logits = head(Norm(x)[:, 0])
 *
 * With a distillation token there are two heads, and the answer is their mean. `pool: "mean"` reads the mean of the patches
 * instead of token 0, and normalises behind it (`fc_norm`), as timm does.
 *
 * Checkpoints of timm and of Hugging Face are read and written (`loadSafetensors`, `vitFromPretrained`, `saveSafetensors`,
 * `savePretrained`). Positions of another image size are resized when they are loaded: see `resizePositions`.
 *
 * Sources: "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale", 2020; "Training data-efficient
 * image transformers & distillation through attention", 2020.
 */
import {
  type Block,
  block,
  dropout,
  isPre,
  Linear,
  layerNorm,
  linearWriter,
  Module,
  mlpFactory,
  type NormOption,
  normFactory,
  type PlacementOption,
  placementStrategy,
  type ResidualStream,
  readersOfBlock,
  type StreamReader,
  simplifiedLinearAttention,
  uninitialized,
  writersOfBlock,
} from "../../nn/index.js";
import { concat, fail, NDArray, normalArray, type Tensor, Variable } from "../../tensor/index.js";
import type { JsonObject } from "../pretrained/hf-config.js";
import type { Layout } from "../pretrained/layout.js";
import { type FirstValues, initializeVision } from "./first-values.js";
import { gridOf, PatchEmbedding, type Size } from "./patch-embedding.js";
import { describeViT, vitLayouts } from "./vit-layouts.js";

export interface ViTOptions {
  /** Height and width, or one number for both (default 224). */
  readonly imageSize?: Size;
  /** Default 16. */
  readonly patchSize?: number;
  /** Channels of the image (default 3). */
  readonly inputs?: number;
  /** Of the stream (default 768). */
  readonly width?: number;
  /** Default 12. */
  readonly layers?: number;
  /** Default 12. */
  readonly heads?: number;
  /** Width inside the MLPs (default 4 · width). */
  readonly hidden?: number;
  /** 0: no head, the model gives the pooled token [batch, width] (default 1000). */
  readonly classes?: number;
  /** Default a LayerNorm with ε = 1e-6, as the authors' ("layer" has 1e-5). */
  readonly norm?: NormOption;
  /** Default "pre". */
  readonly placement?: PlacementOption;
  /** Activation of the MLPs (default "gelu"). */
  readonly mlp?: "gelu" | "gelu-tanh" | "relu";
  /** A second token and head, which learn from a teacher (DeiT; default false). */
  readonly distilled?: boolean;
  /** What the head reads (default "token"). */
  readonly pool?: "token" | "mean";
  /** Put a class token before the patches (default true); without one the head reads the mean of the patches. */
  readonly classToken?: boolean;
  /** "linear": SLAB's simplified linear attention, for models without a class token (default "softmax"). */
  readonly attention?: "softmax" | "linear";
  /** Norm on the embeddings (default: where the first block is Peri-LN, as in `gpt`). */
  readonly embedNorm?: boolean;
  readonly dropout?: number;
  readonly initialization?: Pick<FirstValues, "std"> | "none";
  readonly seed?: number;
}

export class ViT extends Module {
  readonly cls_token: Variable | undefined; // [1, 1, width]
  readonly dist_token: Variable | undefined; // [1, 1, width]
  readonly pos_embed: Variable; // [1, tokens, width]
  readonly patch_embed: PatchEmbedding;
  readonly norm_pre: Module | undefined;
  readonly blocks: Block[];
  readonly norm: Module | undefined;
  readonly fc_norm: Module | undefined;
  readonly head: Linear | undefined;
  readonly head_dist: Linear | undefined;

  /** See `vit`. */
  constructor(readonly options: ViTOptions) {
    super();
    const { imageSize = 224, patchSize = 16, inputs = 3, width = 768, layers = 12, heads = 12 } = options;
    const { hidden = 4 * width, classes = 1000, placement = "pre", mlp = "gelu", distilled = false } = options;
    const { norm = (n: number) => layerNorm(n, { eps: 1e-6 }), dropout: rate = 0 } = options;
    const { classToken = true, attention = "softmax", pool = classToken ? "token" : "mean" } = options;
    if (pool === "mean" && distilled)
      fail("argument", 'vit: a distilled model reads its two tokens; leave out pool: "mean" or distilled');
    if (!classToken && (pool === "token" || distilled))
      fail(
        "argument",
        'vit: without a class token the head reads the mean of the patches; leave out pool: "token" and distilled',
      );
    if (attention === "linear" && classToken)
      fail("argument", "vit: linear attention is for a grid of patches; set classToken: false");
    const grid = gridOf("vit", imageSize, patchSize);
    const [make, strategy] = [normFactory(norm), placementStrategy(placement)];
    const placements = Array.from({ length: layers }, (_, layer) => strategy(layer, layers));
    const token = (count: number) => new Variable(NDArray.zeros([1, count, width]));
    this.cls_token = classToken ? token(1) : undefined;
    this.dist_token = distilled ? token(1) : undefined;
    this.pos_embed = token(Number(classToken) + Number(distilled) + grid[0] * grid[1]);
    this.patch_embed = new PatchEmbedding(inputs, width, patchSize, grid);
    const { embedNorm = placements[0]?.kind === "peri" } = options;
    this.norm_pre = embedNorm ? make(width) : undefined;
    const parts = { heads, norm: make, mlp: mlpFactory(mlp, hidden), bias: true, dropout: rate };
    const linear = () => simplifiedLinearAttention({ dim: width, heads, height: grid[0], width: grid[1] });
    this.blocks = placements.map((here) =>
      block(width, { ...parts, placement: here, ...(attention === "linear" && { attention: linear() }) }),
    );
    this.norm = pool === "token" ? make(width) : undefined;
    this.fc_norm = pool === "mean" ? make(width) : undefined;
    this.head = classes > 0 ? new Linear(width, classes) : undefined;
    this.head_dist = classes > 0 && distilled ? new Linear(width, classes) : undefined;
  }

  /** [batch, channels, height, width] → [batch, classes], or [batch, width] without a head. */
  override forward(x: Tensor): Tensor {
    const answers = this.answers(this.features(x));
    return answers.reduce((a, b) => a.add(b)).div(answers.length);
  }

  /** The answers of the heads one by one: of the class token and, where there is one, of the distillation token. */
  heads(x: Tensor): Tensor[] {
    return this.inside(() => this.answers(this.features(x)));
  }

  /** The last tokens [batch, tokens, width], normalised where the head reads single ones. */
  features(x: Tensor): Tensor {
    return this.inside(() => {
      const stream = this.blocks.reduce((y, layer) => layer.apply(y), this.embed(x));
      return this.norm ? this.norm.apply(stream) : stream;
    });
  }

  /** The stream before the first block. */
  embed(x: Tensor): Tensor {
    const patches = this.patch_embed.apply(x);
    const [B, , width] = patches.shape as [number, number, number];
    const tokens = [this.cls_token, this.dist_token].flatMap((token) => (token ? [token.expand([B, 1, width])] : []));
    const placed = dropout(concat([...tokens, patches], 1).add(this.pos_embed), this.options.dropout ?? 0);
    return this.norm_pre ? this.norm_pre.apply(placed) : placed;
  }

  private answers(features: Tensor): Tensor[] {
    const [B, T, width] = features.shape as [number, number, number];
    const token = (i: number) => features.slice({ axis: 1, start: i, end: i + 1 }).reshape([B, width]);
    if (this.fc_norm) {
      const mean = this.fc_norm.apply(features.slice({ axis: 1, start: this.cls_token ? 1 : 0, end: T }).mean(1));
      return [this.head ? this.head.apply(mean) : mean];
    }
    const heads = this.dist_token ? [this.head, this.head_dist] : [this.head];
    return heads.map((head, i) => (head ? head.apply(token(i)) : token(i)));
  }

  /** Who reads its norms: see `foldNorms`. Throws where a norm stands on the stream. */
  readers(): StreamReader[] {
    const heads = (["head", "head_dist"] as const).filter((name) => this[name]);
    const last = this.norm ? "norm" : "fc_norm";
    const final = heads.length > 0 ? [{ norm: last, linears: heads }] : [];
    return [...this.blocks.flatMap((layer, i) => readersOfBlock(`blocks.${i}`, layer)), ...final];
  }

  /** Its heads are tied to nothing. */
  async untie(): Promise<void> {}

  /** timm's and Hugging Face's names; they have only Pre-LN. */
  layouts(): readonly Layout[] {
    return this.blocks.every(({ placement }) => isPre(placement) && placement.kind === "pre") ? vitLayouts(this) : [];
  }

  /** Hugging Face's `config.json`. Throws for norms and placements it has no word for. */
  describe(): JsonObject {
    return describeViT(this);
  }

  /** What `toPreRMSNorm` and other conversions work on. Throws where a block is not Pre-LN and for a mean of patches. */
  residualStream(): ResidualStream {
    if (this.fc_norm)
      fail("conversion", 'vit: with pool: "mean" the last norm does not read the stream, but a mean of its tokens');
    const tokens = [...(this.cls_token ? ["cls_token"] : []), ...(this.dist_token ? ["dist_token"] : []), "pos_embed"];
    const patches = linearWriter("patch_embed.proj", this.patch_embed.proj);
    const embedding = [
      ...tokens.map((path) => ({ path, axis: 2 })),
      ...patches.map((writer) => ({ ...writer, source: "patch_embed" })),
    ];
    return {
      width: this.patch_embed.proj.outputs,
      // A norm on the embeddings is where the stream starts.
      writers: [
        ...(this.norm_pre ? [] : embedding),
        ...this.blocks.flatMap((layer, l) => writersOfBlock(`blocks.${l}`, layer)),
      ],
      readers: this.readers(),
      start: this.norm_pre && "norm_pre",
      tied: false,
      dropout: this.options.dropout ?? 0,
    };
  }

  /** An image of noise [1, channels, height, width]. */
  exampleInput(): NDArray {
    const { grid, patchSize, proj } = this.patch_embed;
    const shape = [1, proj.inputs, grid[0] * patchSize, grid[1] * patchSize];
    return normalArray({ seed: this.options.seed ?? 0, site: "example" }, shape);
  }
}

/**
 * A model from values. Throws where patches do not divide the image or heads the width, for unknown names, and for a
 * distilled model that pools by the mean.
 */
export function vit(options: ViTOptions = {}): ViT {
  const model = uninitialized(() => new ViT(options));
  const { cls_token, dist_token, pos_embed } = model;
  const { initialization = {}, seed = 0 } = options;
  if (initialization !== "none")
    initializeVision(model, { cls_token, dist_token, pos_embed }, { ...initialization, seed });
  return model;
}

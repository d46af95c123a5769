/**
 * Swin: a vision transformer in stages. Attention stays within windows of M × M patches, which every second block shifts by
 * M/2, and each stage joins four neighbours to half the side and twice the width.
 *
 *   x = x + WindowAttention(Norm1(x));   x = x + MLP(Norm2(x))
 *   attention: softmax(q kᵀ / √W + B) v, with B from a table of relative places, one for each head
 *
 * Names are the authors', so their checkpoints fit (masks and place indices are computed here), and timm's are read and
 * written, too (`loadSafetensors`; layouts "microsoft" and "timm"). Any norm by name.
 * Source: "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows", 2021.
 */
import {
  Conv2d,
  Linear,
  type LinearOptions,
  Module,
  type NormFactory,
  type NormOption,
  normFactory,
} from "../../nn/index.js";
import {
  concat,
  embedding,
  fail,
  formatShape,
  NDArray,
  normalArray,
  type Tensor,
  tensor,
  Variable,
} from "../../tensor/index.js";
import { type Layout, same } from "../pretrained/layout.js";

export interface SwinOptions {
  /** Side of the image (default 32). */
  readonly imageSize?: number;
  /** Side of a patch (default 2). */
  readonly patchSize?: number;
  /** Channels of the image (default 3). */
  readonly inputs?: number;
  readonly classes?: number;
  /** Width of the first stage (default 32); each further one has twice as much. */
  readonly width?: number;
  /** Blocks and heads of every stage (default [2, 2] and [2, 4]). */
  readonly depths?: readonly number[];
  readonly heads?: readonly number[];
  /** M, side of a window in patches (default 4). */
  readonly window?: number;
  /** Width between the matrices of an MLP, in widths (default 4). */
  readonly mlpRatio?: number;
  /** Default "layer". */
  readonly norm?: NormOption;
  readonly seed?: number;
}

/** Attention within windows, on x [batch, H, W, C]. */
export class WindowAttention extends Module {
  readonly qkv: Linear;
  readonly proj: Linear;
  readonly relative_position_bias_table: Variable; // [(2M − 1)², heads]

  constructor(
    readonly width: number,
    readonly heads: number,
    readonly window: number,
    /** How far the windows are shifted, towards the lower right. */
    readonly shift: number,
  ) {
    super();
    if (!Number.isInteger(width / heads)) fail("argument", `swin: ${heads} heads do not divide a width of ${width}`);
    this.qkv = new Linear(width, 3 * width);
    this.proj = new Linear(width, width);
    this.relative_position_bias_table = new Variable(NDArray.zeros([(2 * window - 1) ** 2, heads]));
  }

  override forward(x: Tensor): Tensor {
    const { window: M, shift } = this;
    const [B, H, W, C] = x.shape as [number, number, number, number];
    const shifted = shift > 0 ? roll(roll(x, 1, shift), 2, shift) : x;
    const windows = shifted
      .reshape([B, H / M, M, W / M, M, C])
      .transpose([0, 1, 3, 2, 4, 5])
      .reshape([B, (H / M) * (W / M), M * M, C]);
    const mixed = this.attend(windows, shift > 0 ? regions(H, W, M, shift) : undefined)
      .reshape([B, H / M, W / M, M, M, C])
      .transpose([0, 1, 3, 2, 4, 5])
      .reshape([B, H, W, C]);
    return shift > 0 ? roll(roll(mixed, 1, H - shift), 2, W - shift) : mixed;
  }

  /** windows: [B, n, M², C]; `region`: which part of the image each place is from, [n, M²]. */
  private attend(windows: Tensor, region: NDArray | undefined): Tensor {
    const { heads, width } = this;
    const [B, n, T] = windows.shape as [number, number, number];
    const [q, k, v] = this.qkv
      .apply(windows)
      .reshape([B, n, T, 3, heads, width / heads])
      .transpose([3, 0, 1, 4, 2, 5])
      .split(1)
      .map((part) => part.reshape([B, n, heads, T, width / heads])) as [Tensor, Tensor, Tensor];
    const scores = q.mul(Math.sqrt(heads / width)).matmul(k.transpose([0, 1, 2, 4, 3]));
    const biased = scores.add(this.bias());
    const shown = region ? biased.add(apart(region)) : biased;
    return this.proj.apply(shown.softmax(-1).matmul(v).transpose([0, 1, 3, 2, 4]).reshape([B, n, T, width]));
  }

  /** B [heads, M², M²] */
  private bias(): Tensor {
    const T = this.window ** 2;
    const index = tensor(NDArray.from(relativePlaces(this.window), "int32"));
    return embedding(this.relative_position_bias_table, index).reshape([T, T, this.heads]).transpose([2, 0, 1]);
  }
}

/** Entry `amount` becomes the first along an axis, those before it the last. */
const roll = (x: Tensor, axis: number, amount: number): Tensor =>
  concat([x.slice({ axis, start: amount }), x.slice({ axis, end: amount })], axis);

/** For every pair of places of a window, its row in the table. */
function relativePlaces(M: number): number[] {
  const places = Array.from({ length: M * M }, (_, i) => [Math.floor(i / M), i % M] as const);
  return places.flatMap(([y, x]) => places.map(([v, u]) => (y - v + M - 1) * (2 * M - 1) + (x - u + M - 1)));
}

/** The part of the unshifted image that each place of each shifted window is from: places of two parts are no neighbours. */
function regions(H: number, W: number, M: number, shift: number): NDArray {
  const part = (at: number, size: number) => (at < size - M ? 0 : at < size - shift ? 1 : 2);
  const values: number[] = [];
  for (let wy = 0; wy < H / M; wy++)
    for (let wx = 0; wx < W / M; wx++)
      for (let y = 0; y < M; y++)
        for (let x = 0; x < M; x++) values.push(3 * part(wy * M + y, H) + part(wx * M + x, W));
  return NDArray.from(values, "float32", [(H / M) * (W / M), M * M]);
}

/** −100 between places of different parts, [n, 1, M², M²]. */
function apart(region: NDArray): Tensor {
  const [n, T] = region.shape as [number, number];
  const parts = tensor(region);
  return parts
    .reshape([n, 1, T, 1])
    .notEqual(parts.reshape([n, 1, 1, T]))
    .cast("float32")
    .mul(-100);
}

class SwinMLP extends Module {
  readonly fc1: Linear;
  readonly fc2: Linear;

  constructor(width: number, hidden: number) {
    super();
    this.fc1 = new Linear(width, hidden);
    this.fc2 = new Linear(hidden, width);
  }

  override forward(x: Tensor): Tensor {
    return this.fc2.apply(this.fc1.apply(x).gelu());
  }
}

/** A norm of tokens on [batch, H, W, C]: what looks at batches of tokens sees [batch, H · W, C]. */
const onTokens = (norm: Module, x: Tensor): Tensor =>
  norm.apply(x.reshape([x.dim(0), x.dim(1) * x.dim(2), x.dim(3)])).reshape(x.shape);

export class SwinBlock extends Module {
  readonly norm1: Module;
  readonly attn: WindowAttention;
  readonly norm2: Module;
  readonly mlp: SwinMLP;

  constructor(width: number, heads: number, window: number, shift: number, mlpRatio: number, norm: NormFactory) {
    super();
    this.norm1 = norm(width);
    this.attn = new WindowAttention(width, heads, window, shift);
    this.norm2 = norm(width);
    this.mlp = new SwinMLP(width, Math.round(width * mlpRatio));
  }

  override forward(x: Tensor): Tensor {
    const y = x.add(this.attn.apply(onTokens(this.norm1, x)));
    return y.add(this.mlp.apply(onTokens(this.norm2, y)));
  }
}

/** Four neighbours become one of twice the width: [batch, H, W, C] → [batch, H/2, W/2, 2C]. */
export class PatchMerging extends Module {
  readonly norm: Module;
  readonly reduction: Linear;

  constructor(width: number, norm: NormFactory) {
    super();
    this.norm = norm(4 * width);
    this.reduction = new Linear(4 * width, 2 * width, { bias: false } satisfies LinearOptions);
  }

  override forward(x: Tensor): Tensor {
    const every = (y: number, z: number) =>
      x.slice({ axis: 1, start: y, step: 2 }).slice({ axis: 2, start: z, step: 2 });
    const joined = concat([every(0, 0), every(1, 0), every(0, 1), every(1, 1)], 3);
    return this.reduction.apply(onTokens(this.norm, joined));
  }
}

class SwinStage extends Module {
  readonly blocks: readonly SwinBlock[];
  readonly downsample: PatchMerging | undefined;

  constructor(blocks: readonly SwinBlock[], downsample: PatchMerging | undefined) {
    super();
    this.blocks = blocks;
    this.downsample = downsample;
  }

  override forward(x: Tensor): Tensor {
    const y = this.blocks.reduce((h, block) => block.apply(h), x);
    return this.downsample ? this.downsample.apply(y) : y;
  }
}

class SwinPatches extends Module {
  readonly proj: Conv2d;
  readonly norm: Module;

  constructor(inputs: number, width: number, patch: number, norm: NormFactory) {
    super();
    this.proj = new Conv2d(inputs, width, patch, { stride: patch });
    this.norm = norm(width);
  }

  override forward(x: Tensor): Tensor {
    return onTokens(this.norm, this.proj.apply(x).transpose([0, 2, 3, 1]));
  }
}

/** [batch, channels, size, size] → [batch, classes]. */
export class Swin extends Module {
  readonly patch_embed: SwinPatches;
  readonly layers: readonly SwinStage[];
  readonly norm: Module;
  readonly head: Linear;
  readonly imageSize: number;

  /** Throws where the stages' sides are no multiples of the window. */
  constructor(options: SwinOptions = {}) {
    super();
    const { imageSize = 32, patchSize = 2, inputs = 3, classes = 10, width = 32, window = 4, mlpRatio = 4 } = options;
    const { depths = [2, 2], heads = [2, 4], norm = "layer", seed = 0 } = options;
    if (depths.length !== heads.length || depths.length === 0)
      fail("argument", `swin: ${depths.length} depths for ${heads.length} heads; expected one of each per stage`);
    const make = normFactory(norm);
    this.patch_embed = new SwinPatches(inputs, width, patchSize, make);
    this.layers = depths.map((depth, s) => {
      const side = imageSize / patchSize / 2 ** s;
      if (!Number.isInteger(side / window) || (s < depths.length - 1 && side % 2 !== 0))
        fail(
          "argument",
          `swin: stage ${s} is ${side} patches wide, which windows of ${window} do not tile; choose imageSize = patchSize · window · a power of two`,
        );
      // One window sees all there is: nothing to shift.
      const shift = side > window ? Math.floor(window / 2) : 0;
      const wide = width * 2 ** s;
      const blocks = Array.from(
        { length: depth },
        (_, i) => new SwinBlock(wide, heads[s] as number, window, i % 2 === 1 ? shift : 0, mlpRatio, make),
      );
      return new SwinStage(blocks, s < depths.length - 1 ? new PatchMerging(wide, make) : undefined);
    });
    const last = width * 2 ** (depths.length - 1);
    this.norm = make(last);
    this.head = new Linear(last, classes);
    this.imageSize = imageSize;
    initializeSwin(this, seed);
  }

  override forward(x: Tensor): Tensor {
    const { imageSize } = this;
    if (x.rank !== 4 || x.dim(2) !== imageSize || x.dim(3) !== imageSize)
      fail("shape", `swin: expected [batch, channels, ${imageSize}, ${imageSize}], got ${formatShape(x.shape)}`);
    const y = this.layers.reduce((h, layer) => layer.apply(h), this.patch_embed.apply(x));
    return this.head.apply(onTokens(this.norm, y).mean([1, 2]));
  }

  /** timm has the joining of neighbours at the start of the next stage; otherwise the names are alike. */
  layouts(): readonly Layout[] {
    const moved = this.layers.map((_, s) => same(`layers.${s + 1}.downsample.{n}`, `layers.${s}.downsample.{n}`));
    const ignored = /\.(relative_position_index|attn_mask)$/;
    return [
      { name: "microsoft", ignored, rules: [same("{n}")] },
      { name: "timm", ignored, rules: [...moved, same("head.fc.{p}", "head.{p}"), same("{n}")] },
    ];
  }
}

/** Matrices and tables N(0, 0.02), biases 0, as the authors. */
function initializeSwin(model: Swin, seed: number): void {
  const normal = (path: string, variable: Variable) =>
    variable.set(
      NDArray.from(
        normalArray({ seed, site: path }, variable.shape)
          .toNumbers()
          .map((z) => 0.02 * z),
        "float32",
        variable.shape,
      ),
    );
  for (const [path, module] of model.namedModules()) {
    const layer: unknown = module;
    if (layer instanceof WindowAttention) normal(`${path}.table`, layer.relative_position_bias_table);
    if (!(layer instanceof Linear)) continue;
    normal(path, layer.weight);
    layer.bias?.set(NDArray.zeros(layer.bias.shape));
  }
}

export const swin = (options?: SwinOptions): Swin => new Swin(options);

/**
 * Densely connected networks (DenseNet-BC) with torchvision's names: every layer reads what all layers of its block before it
 * made, and adds k channels.
 *
 *   layer:       x ← [x, conv3×3(act(norm2(conv1×1(act(norm1(x))))))]        4 k channels between the two
 *   transition:  x ← averagePool2(conv1×1(act(norm(x))))                     half the channels
 *
 * Source: "Densely Connected Convolutional Networks", 2016; the IBN form: "Two at Once: Enhancing Learning and Generalization
 * Capacities via IBN-Net", 2018.
 */
import {
  type AnyModule,
  Conv2d,
  dropout,
  ibn as ibnLayer,
  instanceNorm,
  kaiming,
  Linear,
  Module,
  type NormFactory,
  type NormOption,
  normFactory,
} from "../../nn/index.js";
import { concat, fail, type Tensor } from "../../tensor/index.js";
import type { Layout } from "../pretrained/layout.js";
import { same } from "../pretrained/layout.js";
import { type IBNVariant, variantsOf } from "./ibn-variant.js";
import { normAct } from "./residual-blocks.js";

type Act = (x: Tensor) => Tensor;

export interface DenseNetOptions {
  /** Default 1000 (for CIFAR 10). */
  readonly classes?: number;
  /** Channels of the image (default 3). */
  readonly inputs?: number;
  /** Default "batch". */
  readonly norm?: NormOption;
  /**
   * As for `resnet`: "a" puts IBN, 60 % of the channels batch-normalised first, before every third layer of all blocks but the
   * last, as the authors' DenseNet-IBN-a. There is no addition here, so `afterAdd` means the norm at a stage's end (the
   * transition's, or the last of all): "b" makes it an instance norm in the first two stages, with that of the stem. Our
   * reading, as is `last`: the norm before every third layer's 3 × 3 convolution.
   */
  readonly ibn?: "a" | "b" | readonly (IBNVariant | undefined)[];
  /** Of the activations (default ReLU). */
  readonly act?: Act;
  /** On what each layer adds (default 0). */
  readonly dropout?: number;
}

interface Plan extends DenseNetOptions {
  /** k, channels that each layer adds. */
  readonly growth: number;
  /** Layers of every block. */
  readonly blocks: readonly number[];
  /** Channels before the first block; the stem of small images is a 3 × 3 convolution alone. */
  readonly stem: { readonly width: number; readonly small: boolean };
}

interface LayerNorms {
  readonly norm1: NormFactory;
  readonly norm2: NormFactory;
}

export class DenseLayer extends Module {
  readonly norm1: Module;
  readonly conv1: Conv2d;
  readonly norm2: Module;
  readonly conv2: Conv2d;

  constructor(
    inputs: number,
    growth: number,
    { norm1, norm2 }: LayerNorms,
    readonly act: Act,
    readonly dropout: number,
  ) {
    super();
    this.norm1 = norm1(inputs, 1);
    this.conv1 = new Conv2d(inputs, 4 * growth, 1, { bias: false });
    this.norm2 = norm2(4 * growth, 1);
    this.conv2 = new Conv2d(4 * growth, growth, 3, { padding: 1, bias: false });
  }

  override forward(x: Tensor): Tensor {
    const between = this.conv1.apply(normAct(this.norm1, x, this.act));
    const made = this.conv2.apply(normAct(this.norm2, between, this.act));
    return concat([x, dropout(made, this.dropout)], 1);
  }

  chains(): readonly (readonly AnyModule[])[] {
    return [[this.conv1, this.norm2]];
  }
}

export class DenseBlock extends Module {
  readonly [layer: `denselayer${number}`]: DenseLayer;

  constructor(layers: readonly DenseLayer[]) {
    super();
    Object.assign(this, Object.fromEntries(layers.map((layer, i) => [`denselayer${i + 1}`, layer])));
  }

  override forward(x: Tensor): Tensor {
    const layers = Object.values(this).filter((field): field is Module => field instanceof Module);
    return layers.reduce((y, layer) => layer.apply(y), x);
  }
}

export class DenseTransition extends Module {
  readonly norm: Module;
  readonly conv: Conv2d;

  constructor(
    inputs: number,
    outputs: number,
    norm: NormFactory,
    readonly act: Act,
  ) {
    super();
    this.norm = norm(inputs, 1);
    this.conv = new Conv2d(inputs, outputs, 1, { bias: false });
  }

  override forward(x: Tensor): Tensor {
    return this.conv.apply(normAct(this.norm, x, this.act)).averagePool2d({ kernel: 2 });
  }
}

/** Everything below the head. */
class Features extends Module {
  readonly conv0: Conv2d;
  readonly norm0: Module | undefined;
  readonly [stage: `denseblock${number}`]: DenseBlock;
  readonly [between: `transition${number}`]: DenseTransition;
  norm5: Module | undefined;

  constructor(
    stem: { readonly conv0: Conv2d; readonly norm0: Module | undefined },
    readonly act: Act,
  ) {
    super();
    this.conv0 = stem.conv0;
    this.norm0 = stem.norm0;
  }

  override forward(x: Tensor): Tensor {
    const { norm0, norm5, act } = this;
    const stem = this.conv0.apply(x);
    const start = norm0 ? normAct(norm0, stem, act).maxPool2d({ kernel: 3, stride: 2, padding: 1 }) : stem;
    const stages = Object.values(this).filter(
      (field) => field instanceof DenseBlock || field instanceof DenseTransition,
    );
    const y = (stages as Module[]).reduce((stream, stage) => stage.apply(stream), start);
    return norm5 ? normAct(norm5, y, act) : act(y);
  }

  chains(): readonly (readonly AnyModule[])[] {
    return this.norm0 ? [[this.conv0, this.norm0]] : [];
  }
}

export class DenseNet extends Module {
  readonly features: Features;
  readonly classifier: Linear;

  constructor(plan: Plan) {
    super();
    const { growth, blocks, stem, classes = 1000, inputs = 3, act = (x) => x.relu(), dropout: rate = 0 } = plan;
    const make = normFactory(plan.norm ?? "batch");
    const variants = variantsOf("densenet", plan.ibn, blocks.length);
    const whole: NormFactory = (n) => instanceNorm(n, { affine: true });
    const conv0 = stem.small
      ? new Conv2d(inputs, stem.width, 3, { padding: 1, bias: false })
      : new Conv2d(inputs, stem.width, 7, { stride: 2, padding: 3, bias: false });
    const norm0 = stem.small ? undefined : (variants[0] === "b" ? whole : make)(stem.width, 1);
    this.features = new Features({ conv0, norm0 }, act);
    let width = stem.width;
    for (const [s, count] of blocks.entries()) {
      const norms = stageNorms(variants[s], make);
      const layers = Array.from(
        { length: count },
        (_, i) => new DenseLayer(width + i * growth, growth, norms.layer(i), act, rate),
      );
      width += count * growth;
      Object.assign(this.features, { [`denseblock${s + 1}`]: new DenseBlock(layers) });
      if (s === blocks.length - 1) this.features.norm5 = norms.end(width, 1);
      else {
        const half = Math.floor(width / 2);
        Object.assign(this.features, { [`transition${s + 1}`]: new DenseTransition(width, half, norms.end, act) });
        width = half;
      }
    }
    this.classifier = new Linear(width, classes);
    kaiming(this, { query: "features.**", mode: "fanIn" });
  }

  /** [batch, channels, height, width] → [batch, classes]. */
  override forward(x: Tensor): Tensor {
    return this.classifier.apply(this.features.apply(x).mean([2, 3]));
  }

  /** torchvision's files of before 2018 say `norm.1` where newer ones say `norm1`. */
  layouts(): readonly Layout[] {
    return [
      {
        name: "torchvision",
        rules: [same("{n}")],
        ignored: /\.num_batches_tracked$/,
        rename: (name) => name.replace(/(denselayer\d+\.(?:norm|conv))\.([12]\.)/, "$1$2"),
      },
    ];
  }
}

/** The norms of a stage's layers and the one at its end. */
function stageNorms(variant: IBNVariant | undefined, norm: NormFactory) {
  const mixed: NormFactory = (n) => ibnLayer(n, { ratio: 0.6, order: "bn-first" });
  const whole: NormFactory = (n) => instanceNorm(n, { affine: true });
  const { first, last, afterAdd } =
    variant === "a" ? { first: "ibn" } : variant === "b" ? { afterAdd: "in" } : (variant ?? {});
  return {
    layer: (i: number): LayerNorms => ({
      norm1: first && i % 3 === 0 ? mixed : norm,
      norm2: last && i % 3 === 0 ? mixed : norm,
    }),
    end: afterAdd === "in" ? whole : afterAdd === "ibn" ? mixed : norm,
  };
}

const depths = {
  "121": [6, 12, 24, 16],
  "169": [6, 12, 32, 32],
  "201": [6, 12, 48, 32],
} as const;

export type DenseNetDepth = keyof typeof depths;

/** For images of about 224 × 224: growth 32, stem 7 × 7 with stride 2 and a pool. Throws for another depth. */
export function densenet(depth: DenseNetDepth, options: DenseNetOptions = {}): DenseNet {
  if (!Object.hasOwn(depths, depth))
    fail(
      "argument",
      `densenet: expected a depth of ${Object.keys(depths).join(", ")}, got "${depth}"; for 32 × 32 images: cifarDenseNet`,
    );
  return new DenseNet({ ...options, growth: 32, blocks: depths[depth], stem: { width: 64, small: false } });
}

export interface CifarDenseNetOptions extends DenseNetOptions {
  /** 6 D + 4 layers: 40, 100, 190 (default 100). */
  readonly depth?: number;
  /** k (default 12). */
  readonly growth?: number;
}

/** For images of about 32 × 32: three blocks of D layers, stem 3 × 3 with 2 k channels. Throws for another depth. */
export function cifarDenseNet({ depth = 100, growth = 12, ...options }: CifarDenseNetOptions = {}): DenseNet {
  const layers = (depth - 4) / 6;
  if (!Number.isInteger(layers) || layers < 1)
    fail("argument", `cifarDenseNet: a depth is 6 D + 4 (10, 22, 40, 100, 190), got ${depth}`);
  const stem = { width: 2 * growth, small: true };
  return new DenseNet({ classes: 10, ...options, growth, blocks: [layers, layers, layers], stem });
}

/**
 * Residual networks with torchvision's names, so that their public checkpoints load (`loadSafetensors`): ResNet-18/34/50/101/152, ResNeXt,
 * SE-ResNet, their IBN forms, and the small ones for 32 × 32 images (depth 6 D + 2).
 *
 * Sources: "Deep Residual Learning for Image Recognition", 2015; "Aggregated Residual Transformations for Deep Neural
 * Networks", 2016; "Squeeze-and-Excitation Networks", 2017; "Two at Once: Enhancing Learning and Generalization Capacities
 * via IBN-Net", 2018.
 */
import {
  type AnyModule,
  Conv2d,
  ibn as ibnLayer,
  instanceNorm,
  kaiming,
  Linear,
  Module,
  type NormFactory,
  type NormOption,
  normFactory,
} from "../../nn/index.js";
import { fail, NDArray, type Tensor, Variable } from "../../tensor/index.js";
import { type Layout, type Rule, same } from "../pretrained/layout.js";
import { type IBNVariant, variantsOf } from "./ibn-variant.js";
import { BasicBlock, Bottleneck, normAct, type ResidualBlockOptions } from "./residual-blocks.js";

export interface ResNetOptions {
  readonly classes?: number;
  /** Channels of the image (default 3). */
  readonly inputs?: number;
  /** Default "batch". */
  readonly norm?: NormOption;
  /** "a", "b", or one variant (or nothing) per stage. */
  readonly ibn?: "a" | "b" | readonly (IBNVariant | undefined)[];
  /** Of the activations (default ReLU). */
  readonly act?: (x: Tensor) => Tensor;
  /** Squeeze-and-excitation with this reduction (SE-ResNet: 16; default none). */
  readonly squeeze?: number;
  /** Biases of squeeze-and-excitation, as timm's SE-ResNets have them (default false, as IBN-Net's). */
  readonly squeezeBias?: boolean;
  /** Groups of the 3 × 3 convolutions and the width of one (ResNeXt-50: 32 and 4). */
  readonly groups?: number;
  readonly baseWidth?: number;
  /** Start the last norm of every branch at gain 0, so that blocks start as identities (default false). */
  readonly zeroInitLast?: boolean;
}

interface Plan extends ResNetOptions {
  readonly block: typeof BasicBlock | typeof Bottleneck;
  /** Blocks and planes of every stage. */
  readonly stages: readonly { readonly blocks: number; readonly planes: number; readonly stride: number }[];
  readonly stem: { readonly width: number; readonly kernel: number; readonly stride: number; readonly pool: boolean };
}

export class ResNet extends Module {
  readonly conv1: Conv2d;
  readonly bn1: Module;
  readonly fc: Linear;
  readonly layer1: readonly Module[];
  readonly layer2: readonly Module[];
  readonly layer3: readonly Module[];
  readonly layer4: readonly Module[];
  readonly act: (x: Tensor) => Tensor;
  readonly pool: boolean;

  constructor(plan: Plan) {
    super();
    const { block, stages, stem, classes = 1000, inputs = 3, norm = "batch", act = (x) => x.relu() } = plan;
    const variants = variantsOf("resnet", plan.ibn, stages.length);
    const make = normFactory(norm);
    this.conv1 = new Conv2d(inputs, stem.width, stem.kernel, {
      stride: stem.stride,
      padding: (stem.kernel - 1) / 2,
      bias: false,
    });
    this.bn1 = variants[0] === "b" ? instanceNorm(stem.width, { affine: true }) : make(stem.width, 1);
    let width = stem.width;
    const layers = stages.map(({ blocks, planes, stride }, s) =>
      Array.from({ length: blocks }, (_, i) => {
        const options = residualOptions(plan, make, variants[s], i === blocks - 1);
        const made = new block(width, planes, { ...options, act, stride: i === 0 ? stride : 1 });
        width = planes * block.expansion;
        return made;
      }),
    );
    [this.layer1 = [], this.layer2 = [], this.layer3 = [], this.layer4 = []] = layers;
    this.fc = new Linear(width, classes);
    this.act = act;
    this.pool = stem.pool;
    kaiming(this, { query: "**conv*" });
    kaiming(this, { query: "**.downsample.0" });
    if (plan.zeroInitLast) for (const layer of layers.flat()) startAsIdentity(layer);
  }

  /** [batch, channels, height, width] → [batch, classes]. */
  override forward(x: Tensor): Tensor {
    return this.fc.apply(this.features(x).mean([2, 3]));
  }

  /** The last feature maps. */
  features(x: Tensor): Tensor {
    const stem = normAct(this.bn1, this.conv1.apply(x), this.act);
    const pooled = this.pool ? stem.maxPool2d({ kernel: 3, stride: 2, padding: 1 }) : stem;
    const blocks = [this.layer1, this.layer2, this.layer3, this.layer4].flat();
    return blocks.reduce((y, block) => block.apply(y), pooled);
  }

  chains(): readonly (readonly AnyModule[])[] {
    return [[this.conv1, this.bn1]];
  }

  /** torchvision's names are the model's paths, and so are timm's but for squeeze-and-excitation, by 1 × 1 convolutions. */
  layouts(): readonly Layout[] {
    return [
      {
        name: "timm",
        ignored: /\.num_batches_tracked$/,
        rules: [pointwise("se.fc1", "se.fc.0"), pointwise("se.fc2", "se.fc.2"), same("{n}")],
      },
    ];
  }
}

/** A matrix that they keep as a 1 × 1 convolution. */
const pointwise = (theirs: string, ours: string): Rule => ({
  ...same(`{n}.${theirs}.{p}`, `{n}.${ours}.{p}`),
  split: (value) => [value.reshape(value.shape.slice(0, 2))],
  join: ([value]) => {
    const { shape } = value as NDArray;
    return (value as NDArray).reshape(shape.length === 2 ? [...shape, 1, 1] : shape);
  },
});

function residualOptions(
  { squeeze, squeezeBias, groups, baseWidth }: Plan,
  norm: NormFactory,
  variant: IBNVariant | undefined,
  isLast: boolean,
): ResidualBlockOptions {
  const half: NormFactory = (width) => ibnLayer(width);
  const whole: NormFactory = (width) => instanceNorm(width, { affine: true });
  const { first, last, afterAdd } =
    variant === "a"
      ? { first: "ibn" }
      : variant === "b"
        ? { afterAdd: isLast ? "in" : undefined }
        : ((variant ?? {}) as Exclude<IBNVariant, string>);
  return {
    norm,
    ...(first && { norm1: half }),
    ...(last && { lastNorm: half }),
    ...(afterAdd && { afterAdd: afterAdd === "in" ? whole : half }),
    ...(squeeze !== undefined && { squeeze }),
    ...(squeezeBias !== undefined && { squeezeBias }),
    ...(groups !== undefined && { groups }),
    ...(baseWidth !== undefined && { baseWidth }),
  };
}

/** Gain 0 on the last norm of a branch. */
function startAsIdentity(block: Module): void {
  const last: unknown = Reflect.get(block, "bn3") ?? Reflect.get(block, "bn2");
  const gain: unknown = last instanceof Module ? Reflect.get(last, "weight") : undefined;
  if (!(gain instanceof Variable)) fail("argument", "resnet: zeroInitLast needs norms with a gain");
  else gain.set(NDArray.zeros(gain.shape));
}

const depths = {
  "18": [2, 2, 2, 2],
  "34": [3, 4, 6, 3],
  "50": [3, 4, 6, 3],
  "101": [3, 4, 23, 3],
  "152": [3, 8, 36, 3],
} as const;

export type ResNetDepth = keyof typeof depths;

/** For images of about 224 × 224: stem 7 × 7 with stride 2 and a pool, four stages of 64 to 512 planes. */
export function resnet(depth: ResNetDepth, options: ResNetOptions = {}): ResNet {
  if (!Object.hasOwn(depths, depth))
    fail(
      "argument",
      `resnet: expected a depth of ${Object.keys(depths).join(", ")}, got "${depth}"; for 32 × 32 images: cifarResNet`,
    );
  const block = depth === "18" || depth === "34" ? BasicBlock : Bottleneck;
  const stages = depths[depth].map((blocks, s) => ({ blocks, planes: 64 * 2 ** s, stride: s === 0 ? 1 : 2 }));
  return new ResNet({ ...options, block, stages, stem: { width: 64, kernel: 7, stride: 2, pool: true } });
}

/** ResNeXt: bottlenecks whose 3 × 3 convolutions have 32 groups of 4 (of 8 in ResNeXt-101 32×8d: `baseWidth: 8`). */
export const resnext = (depth: "50" | "101" | "152", options: ResNetOptions = {}): ResNet =>
  resnet(depth, { groups: 32, baseWidth: 4, ...options });

/** SE-ResNet: squeeze-and-excitation with reduction 16. */
export const seResnet = (depth: ResNetDepth, options: ResNetOptions = {}): ResNet =>
  resnet(depth, { squeeze: 16, ...options });

export interface CifarResNetOptions extends ResNetOptions {
  /** 6 D + 2 layers: 20, 32, 44, 56, 110. */
  readonly depth?: number;
  /** Channels of the first stage (default 16); the next ones have two and four times as many. */
  readonly width?: number;
}

/** For images of about 32 × 32: stem 3 × 3, three stages of D basic blocks, shortcuts by 1 × 1 convolutions. */
export function cifarResNet({ depth = 20, width = 16, classes = 10, ...options }: CifarResNetOptions = {}): ResNet {
  const blocks = (depth - 2) / 6;
  if (!Number.isInteger(blocks) || blocks < 1)
    fail("argument", `cifarResNet: a depth is 6 D + 2 (8, 14, 20, 32, 56, 110), got ${depth}`);
  const stages = [1, 2, 4].map((factor) => ({ blocks, planes: width * factor, stride: factor === 1 ? 1 : 2 }));
  return new ResNet({
    ...options,
    classes,
    block: BasicBlock,
    stages,
    stem: { width, kernel: 3, stride: 1, pool: false },
  });
}

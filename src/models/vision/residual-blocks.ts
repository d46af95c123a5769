/**
 * The residual blocks of image networks, with torchvision's names. `norm1` stands after the first convolution, `norm` after
 * the others; what stands after the addition (an instance norm in IBN-b) is called IN, as in IBN-Net's checkpoints.
 *
 *   BasicBlock:  conv3×3 (stride) – norm1 – act – conv3×3 – norm – (SE) – (+ shortcut) – [IN] – act
 *   Bottleneck:  conv1×1 – norm1 – act – conv3×3 (stride, groups) – norm – act – conv1×1 – norm – (SE) – (+ shortcut) – [IN] – act
 */
import {
  type AnyModule,
  activates,
  bare,
  Conv2d,
  Linear,
  Module,
  type NormFactory,
  ReLU,
  Sequential,
} from "../../nn/index.js";
import type { Tensor } from "../../tensor/index.js";

export interface ResidualBlockOptions {
  readonly stride?: number;
  /** After every convolution, where nothing else is said. */
  readonly norm: NormFactory;
  /** After the first convolution (default: as `norm`). */
  readonly norm1?: NormFactory;
  /** After the last convolution of the branch (default: as `norm`). */
  readonly lastNorm?: NormFactory;
  /** After the addition (default: nothing). */
  readonly afterAdd?: NormFactory | undefined;
  readonly act?: (x: Tensor) => Tensor;
  /** Squeeze-and-excitation with this reduction (default: none). */
  readonly squeeze?: number | undefined;
  /** Biases of squeeze-and-excitation (timm's have them; default false). */
  readonly squeezeBias?: boolean;
  /** Groups of the 3 × 3 convolution, and the width of one group at 64 channels (ResNeXt: 32 groups of 4). */
  readonly groups?: number;
  readonly baseWidth?: number;
}

const relu = (x: Tensor): Tensor => x.relu();

/** A norm, then the activation, unless the norm has one. */
export const normAct = (norm: Module, x: Tensor, act: (x: Tensor) => Tensor): Tensor =>
  activates(norm) ? norm.apply(x) : act(norm.apply(x));

/** 1 × 1 convolution and norm, where the shape changes. */
function shortcut(inputs: number, outputs: number, { stride = 1, norm }: ResidualBlockOptions): Sequential | undefined {
  if (stride === 1 && inputs === outputs) return undefined;
  return new Sequential(new Conv2d(inputs, outputs, 1, { stride, bias: false }), bare(norm(outputs, 1)));
}

export class BasicBlock extends Module {
  static readonly expansion = 1;
  readonly conv1: Conv2d;
  readonly bn1: Module;
  readonly conv2: Conv2d;
  readonly bn2: Module;
  readonly se: SqueezeExcitation | undefined;
  readonly IN: Module | undefined;
  readonly downsample: Sequential | undefined;
  readonly act: (x: Tensor) => Tensor;

  constructor(inputs: number, planes: number, options: ResidualBlockOptions) {
    super();
    const {
      stride = 1,
      norm,
      norm1 = norm,
      lastNorm = norm,
      afterAdd,
      act = relu,
      squeeze,
      squeezeBias: bias = false,
    } = options;
    this.conv1 = new Conv2d(inputs, planes, 3, { stride, padding: 1, bias: false });
    this.bn1 = norm1(planes, 1);
    this.conv2 = new Conv2d(planes, planes, 3, { padding: 1, bias: false });
    this.bn2 = bare(lastNorm(planes, 1));
    this.se = squeeze === undefined ? undefined : new SqueezeExcitation(planes, squeeze, { bias });
    this.IN = afterAdd?.(planes, 1);
    this.downsample = shortcut(inputs, planes, options);
    this.act = act;
  }

  override forward(x: Tensor): Tensor {
    const branch = this.bn2.apply(this.conv2.apply(normAct(this.bn1, this.conv1.apply(x), this.act)));
    return joined(this, x, this.se ? this.se.apply(branch) : branch);
  }

  chains(): readonly (readonly AnyModule[])[] {
    return [
      [this.conv1, this.bn1],
      [this.conv2, this.bn2],
    ];
  }
}

export class Bottleneck extends Module {
  static readonly expansion = 4;
  readonly conv1: Conv2d;
  readonly bn1: Module;
  readonly conv2: Conv2d;
  readonly bn2: Module;
  readonly conv3: Conv2d;
  readonly bn3: Module;
  readonly se: SqueezeExcitation | undefined;
  readonly IN: Module | undefined;
  readonly downsample: Sequential | undefined;
  readonly act: (x: Tensor) => Tensor;

  constructor(inputs: number, planes: number, options: ResidualBlockOptions) {
    super();
    const { stride = 1, norm, norm1 = norm, lastNorm = norm, afterAdd, act = relu } = options;
    const { squeeze, squeezeBias: bias = false, groups = 1, baseWidth = 64 } = options;
    const [width, outputs] = [Math.floor((planes * baseWidth) / 64) * groups, planes * Bottleneck.expansion];
    this.conv1 = new Conv2d(inputs, width, 1, { bias: false });
    this.bn1 = norm1(width, 1);
    this.conv2 = new Conv2d(width, width, 3, { stride, padding: 1, groups, bias: false });
    this.bn2 = norm(width, 1);
    this.conv3 = new Conv2d(width, outputs, 1, { bias: false });
    this.bn3 = bare(lastNorm(outputs, 1));
    this.se = squeeze === undefined ? undefined : new SqueezeExcitation(outputs, squeeze, { bias });
    this.IN = afterAdd?.(outputs, 1);
    this.downsample = shortcut(inputs, outputs, options);
    this.act = act;
  }

  override forward(x: Tensor): Tensor {
    const first = normAct(this.bn1, this.conv1.apply(x), this.act);
    const second = normAct(this.bn2, this.conv2.apply(first), this.act);
    const branch = this.bn3.apply(this.conv3.apply(second));
    return joined(this, x, this.se ? this.se.apply(branch) : branch);
  }

  chains(): readonly (readonly AnyModule[])[] {
    return [
      [this.conv1, this.bn1],
      [this.conv2, this.bn2],
      [this.conv3, this.bn3],
    ];
  }
}

type End = Pick<BasicBlock, "downsample" | "IN" | "act">;

function joined({ downsample, IN, act }: End, x: Tensor, branch: Tensor): Tensor {
  const sum = branch.add(downsample ? downsample.apply(x) : x);
  return IN ? normAct(IN, sum, act) : act(sum);
}

/**
 * Weighs channels by what they say together: y = x ⊙ σ(W₂ relu(W₁ mean(x))), by default without biases, as in
 * IBN-Net's SE-ResNets.
 * Source: "Squeeze-and-Excitation Networks", 2017.
 */
export class SqueezeExcitation extends Module {
  readonly fc: Sequential;

  constructor(channels: number, reduction = 16, { bias = false }: { readonly bias?: boolean } = {}) {
    super();
    const hidden = Math.max(1, Math.floor(channels / reduction));
    this.fc = new Sequential(
      new Linear(channels, hidden, { bias }),
      new ReLU(),
      new Linear(hidden, channels, { bias }),
    );
  }

  override forward(x: Tensor): Tensor {
    const weights = this.fc.apply(x.mean([2, 3])).sigmoid();
    return x.mul(weights.reshape([x.dim(0), x.dim(1), 1, 1]));
  }
}

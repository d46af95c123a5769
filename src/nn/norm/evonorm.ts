/**
 * EvoNorms: a norm and an activation in one layer, found by search. x [N, C, …], all vectors per channel, d the divisor,
 * var the biased variance and ms the mean square over the axes named:
 *
 *   B0: y = x / max(√(var_{N,HW} + ε), v x + √(var_{HW} + ε)) · g + b
 *   B1: y = x / max(√(var_{N,HW} + ε), (x + 1) √(ms_{HW} + ε)) · g + b
 *   B2: y = x / max(√(var_{N,HW} + ε), √(ms_{HW} + ε) − x) · g + b
 *   S0: y = x σ(v x) / √(var_{HW,group} + ε) · g + b
 *   S1: y = x σ(x) / √(var_{HW,group} + ε) · g + b
 *   S2: y = x σ(x) / √(ms_{HW,group} + ε) · g + b
 *
 * B kinds keep a running variance for inference, in the left term alone: the right one is always the sample's own, so they
 * do not fold. S kinds see one sample only. Where no activation follows (`bare`), as at the end of a residual branch, the
 * layer is g x + b alone. For tokens [N, T, C] the tokens are the space: our extension.
 *
 * `convertBatchNormReLU` puts them into a trained or fresh network; `searchNormAct` finds others.
 * Source: "Evolving Normalization-Activation Layers", 2020; B1, B2, S1, S2 as in timm.
 */
import { fail, formatShape, isTraining, NDArray, type Tensor, Variable } from "../../tensor/index.js";
import { ReLU } from "../image-layers.js";
import { filled } from "../initial.js";
import { type AnyModule, rewrite } from "../module.js";
import { Identity, Lambda, Sequential } from "../sequential.js";
import { warn } from "../warn.js";
import { at } from "../where.js";
import { BatchNorm, channelMoments } from "./batch-norm.js";
import { alongChannels, type ChannelAxis, checkChannels, checkWidth, moveChannels } from "./channels.js";
import { checkEpsilon } from "./epsilon.js";
import { groupsFor } from "./groups-for.js";
import { Norm } from "./norm.js";

export type EvoNormKind = "B0" | "B1" | "B2" | "S0" | "S1" | "S2";

export interface EvoNormOptions {
  /** Default "B0". */
  readonly kind?: EvoNormKind;
  /** Groups of channels of the S kinds, lowered to the next that divides the channels (default 32). */
  readonly groups?: number;
  /** Or channels in a group, which must divide them. */
  readonly groupSize?: number;
  /** False where a network has a norm without activation: the layer is then g x + b (default true). */
  readonly nonlinearity?: boolean;
  readonly eps?: number;
  /** Weight of the new batch in the running variance (default 0.1). */
  readonly momentum?: number;
  /** Biased, as the authors (default), or unbiased, as timm. */
  readonly runningVar?: "biased" | "unbiased";
  /** Start g at 0 (default false). */
  readonly initZero?: boolean;
  /** Where the channels are (default 1). */
  readonly axis?: ChannelAxis;
}

export class EvoNorm extends Norm {
  readonly weight: Variable; // [C], g
  readonly bias: Variable; // [C]
  readonly v: Variable | undefined; // [C], B0 and S0
  readonly running_var: Variable | undefined; // [C], B kinds
  readonly kind: EvoNormKind;
  readonly groups: number;
  readonly eps: number;
  readonly momentum: number;
  readonly runningVar: "biased" | "unbiased";
  override readonly axis: ChannelAxis;

  constructor(
    override readonly width: number,
    options: EvoNormOptions = {},
  ) {
    super();
    const { kind = "B0", nonlinearity = true, eps = 1e-5, momentum = 0.1, runningVar = "biased" } = options;
    checkWidth("EvoNorm", width);
    if (!Object.hasOwn(formulas, kind))
      fail("argument", `EvoNorm: there is no kind "${kind as string}"; there are ${Object.keys(formulas).join(", ")}`);
    const hasV = kind === "B0" || kind === "S0";
    this.weight = new Variable(filled([width], options.initZero ? 0 : 1));
    this.bias = new Variable(NDArray.zeros([width]));
    this.v = hasV ? new Variable(filled([width], 1)) : undefined;
    this.running_var = kind.startsWith("B") ? new Variable(filled([width], 1), { trainable: false }) : undefined;
    this.kind = kind;
    this.groups = groupsOf(width, options);
    this.eps = checkEpsilon("EvoNorm", eps);
    [this.momentum, this.runningVar, this.axis] = [momentum, runningVar, options.axis ?? 1];
    this.bare = !nonlinearity;
  }

  override get activates(): boolean {
    return !this.bare;
  }

  override forward(x: Tensor): Tensor {
    checkChannels("EvoNorm", x, this.width, this.axis);
    if (x.rank < 3) fail("shape", `${at("EvoNorm")}: expected channels and a space, got ${formatShape(x.shape)}`);
    return this.axis === 1 ? this.normalize(x) : moveChannels(this.normalize(moveChannels(x, "first")), "last");
  }

  /** x [N, C, …]. */
  private normalize(x: Tensor): Tensor {
    const affine = (y: Tensor) => y.mul(along(this.weight, x)).add(along(this.bias, x));
    return affine(this.bare ? x : formulas[this.kind](x, this));
  }

  /** √(var_{N,HW} + ε): this batch's in training, else the running one. */
  batchDeviation(x: Tensor): Tensor {
    const running = this.running_var as Variable;
    if (!isTraining()) return along(running.add(this.eps).sqrt(), x);
    const { variance, count } = channelMoments(x, 1);
    if (count === 1)
      fail(
        "shape",
        `${at("EvoNorm")}: one value per channel in ${formatShape(x.shape)} has no variance; use a larger batch, an S kind, or inference mode`,
      );
    const n = count as number;
    const followed = this.runningVar === "unbiased" ? variance.mul(n / (n - 1)) : variance;
    running.advance((old) => old.mul(1 - this.momentum).add(followed.mul(this.momentum)));
    return along(variance.add(this.eps).sqrt(), x);
  }

  /** √(var_{HW,group} + ε), or of the mean square. */
  groupDeviation(x: Tensor, moment: (x: Tensor) => Tensor): Tensor {
    const grouped = x.reshape([x.dim(0), this.groups, x.size / (x.dim(0) * this.groups)]);
    const perChannel = moment(grouped)
      .add(this.eps)
      .sqrt()
      .expand([x.dim(0), this.groups, this.width / this.groups]);
    return perChannel.reshape([x.dim(0), this.width, ...Array.from({ length: x.rank - 2 }, () => 1)]);
  }
}

const along = (vector: Tensor, x: Tensor): Tensor => alongChannels(vector, x, 1);
const space = (x: Tensor): number[] => Array.from({ length: x.rank - 2 }, (_, i) => i + 2);
const overSpace = { keepDims: true } as const;
const instanceDeviation = (x: Tensor, eps: number): Tensor =>
  x
    .sub(x.mean(space(x), overSpace))
    .square()
    .mean(space(x), overSpace)
    .add(eps)
    .sqrt();
const instanceRoot = (x: Tensor, eps: number): Tensor => x.square().mean(space(x), overSpace).add(eps).sqrt();
/** Over the last axis of [N, groups, values]. */
const variance = (x: Tensor): Tensor => x.sub(x.mean(-1, overSpace)).square().mean(-1, overSpace);
const meanSquare = (x: Tensor): Tensor => x.square().mean(-1, overSpace);

const formulas: Readonly<Record<EvoNormKind, (x: Tensor, layer: EvoNorm) => Tensor>> = {
  B0: (x, layer) =>
    x.div(layer.batchDeviation(x).maximum(x.mul(along(layer.v as Tensor, x)).add(instanceDeviation(x, layer.eps)))),
  B1: (x, layer) => x.div(layer.batchDeviation(x).maximum(x.add(1).mul(instanceRoot(x, layer.eps)))),
  B2: (x, layer) => x.div(layer.batchDeviation(x).maximum(instanceRoot(x, layer.eps).sub(x))),
  S0: (x, layer) => x.mul(x.mul(along(layer.v as Tensor, x)).sigmoid()).div(layer.groupDeviation(x, variance)),
  S1: (x, layer) => x.mul(x.sigmoid()).div(layer.groupDeviation(x, variance)),
  S2: (x, layer) => x.mul(x.sigmoid()).div(layer.groupDeviation(x, meanSquare)),
};

function groupsOf(width: number, { groups = 32, groupSize }: EvoNormOptions): number {
  if (groupSize !== undefined)
    return Number.isInteger(groupSize) && groupSize >= 1 && width % groupSize === 0
      ? width / groupSize
      : fail("argument", `EvoNorm: expected a groupSize that divides ${width} channels, got ${groupSize}`);
  if (!Number.isInteger(groups) || groups < 1)
    return fail("argument", `EvoNorm: expected groups of at least 1, got ${groups}`);
  return groupsFor(width, groups);
}

export const evoNorm = (channels: number, options?: EvoNormOptions): EvoNorm => new EvoNorm(channels, options);

/**
 * BatchNorm and the ReLU or SiLU behind it become one EvoNorm, its gain and bias those of the BatchNorm; a BatchNorm
 * without activation becomes g x + b, with a notice. Changes the model, and its function: it must be trained on.
 * Throws where there is no BatchNorm.
 */
export function convertBatchNormReLU<M extends AnyModule>(model: M, kind: EvoNormKind): M {
  for (const [, module] of model.namedModules())
    if ((module as unknown) instanceof Sequential) takeActivations(module as unknown as Sequential);
  const alone: string[] = [];
  let count = 0;
  const changed = rewrite(model, (module, path) => {
    const old: unknown = module;
    if (!(old instanceof BatchNorm)) return undefined;
    count++;
    if (old.bare) alone.push(path);
    const layer = new EvoNorm(old.width, { kind, axis: old.axis, nonlinearity: !old.bare });
    return copyAffine(old, layer);
  });
  if (count === 0) fail("argument", "convertBatchNormReLU: the model has no BatchNorm");
  if (alone.length > 0)
    warn(
      `convertBatchNormReLU: no activation follows ${alone.slice(0, 3).join(", ")}${alone.length > 3 ? ` and ${alone.length - 3} more` : ""}; they are now a gain and a bias`,
    );
  return changed;
}

/** The very variables, wherever their values are. */
const copyAffine = ({ weight, bias }: BatchNorm, to: EvoNorm): EvoNorm =>
  Object.assign(to, { ...(weight && { weight }), ...(bias && { bias }) });

/** In a sequence the activation is a layer of its own: it goes, and a norm without one is told so. */
function takeActivations(sequence: Sequential): void {
  for (const [i, layer] of sequence.layers.entries()) {
    if (!(layer instanceof BatchNorm)) continue;
    if (isActivation(sequence.layers[i + 1])) Object.assign(sequence, { [i + 1]: new Identity() });
    else layer.bare = true;
  }
}

const isActivation = (layer: unknown): boolean => {
  if (layer instanceof ReLU) return true;
  if (!(layer instanceof Lambda)) return false;
  const probe = new Variable(NDArray.zeros([1]));
  return ["relu", "silu"].includes(layer.body(probe).node.operation.name);
};

/**
 * One factor and one offset for each channel, and batch normalisation, which is made of them: with one pass over the
 * input less for each thing that is known in advance, and in the engine's own layout for convolutions where the input is.
 */
import { ones, zeros, zerosLike } from "./constant.js";
import { add, mul, rsqrt, square } from "./elementwise.js";
import { fail } from "./errors.js";
import { NDArray } from "./ndarray.js";
import { sum } from "./reduction.js";
import { formatShape, type Shape, sameShape } from "./shape.js";
import { reshape } from "./shaping.js";
import { blockedDomain, defineOperation, defineSingle, type Lowering, type Tensor } from "./tensor.js";

interface ChannelAttributes {
  readonly axis: 1 | -1;
}

const others = (x: Tensor, axis: 1 | -1): number[] =>
  x.shape.map((_, i) => i).filter((i) => i !== (axis === 1 ? 1 : x.rank - 1));
/** The shape in which [C] broadcasts over x. */
const along = (x: Tensor, axis: 1 | -1): number[] =>
  x.shape.map((n, i) => (i === (axis === 1 ? 1 : x.rank - 1) ? n : 1));
const overChannels = (x: Tensor, axis: 1 | -1): Tensor => sum(x, others(x, axis));

function requireVectors(name: string, x: Tensor, axis: 1 | -1, vectors: readonly Tensor[]): void {
  if (x.rank < 2) fail("shape", `${name}: expected channels along axis ${axis}, got a tensor ${formatShape(x.shape)}`);
  for (const { shape, dtype } of vectors) {
    if (shape.length !== 1 || shape[0] !== x.dim(axis))
      fail("shape", `${name}: ${formatShape(x.shape)} has ${x.dim(axis)} channels, got a vector ${formatShape(shape)}`);
    if (dtype !== x.dtype) fail("dtype", `${name}: the input is ${x.dtype}, a vector ${dtype}`);
  }
}

/** In blocks: scale · x + shift (+ plus) as a convolution of each channel with one number. */
function affineInBlocks(
  { value, integers }: Lowering<ChannelAttributes>,
  x: string,
  scale: string,
  shift: string,
  channels: number,
  plus?: string,
): string {
  const kernel = value("Reshape", [scale, integers([channels, 1, 1, 1])]);
  const geometry = { strides: [1, 1], pads: [0, 0, 0, 0], dilations: [1, 1], group: channels, kernel_shape: [1, 1] };
  return value("Conv", [x, kernel, shift, ...(plus === undefined ? [] : [plus])], geometry, blockedDomain);
}

const makeAffine = defineSingle<ChannelAttributes>({
  name: "channelAffine",
  infer: ([x, ...vectors], { axis }) => {
    const [scale, shift, plus] = vectors as [Tensor, Tensor, Tensor | undefined];
    requireVectors("channelAffine", x as Tensor, axis, [scale, shift]);
    if (plus && !sameShape(plus.shape, (x as Tensor).shape))
      fail("shape", `channelAffine: cannot add ${formatShape(plus.shape)} to ${formatShape((x as Tensor).shape)}`);
    return x as Tensor;
  },
  gradient: ({ inputs, gradient: g, needs, attributes: { axis } }) => {
    const [x, scale] = inputs as [Tensor, Tensor];
    return [
      needs(0) ? mul(g, reshape(scale, along(x, axis))) : undefined,
      needs(1) ? overChannels(mul(g, x), axis) : undefined,
      needs(2) ? overChannels(g, axis) : undefined,
      ...(inputs.length > 3 ? [g] : []),
    ];
  },
  flops: ({ inputs }) => (inputs.length - 1) * (inputs[0] as Tensor).size,
  lower: (lowering) => {
    const { node, inputs, value, integers, emit, attributes } = lowering;
    const x = node.inputs[0] as Tensor;
    const image = attributes.axis === 1 ? lowering.blocked(0) : undefined;
    if (image !== undefined) {
      const [scale, shift] = [inputs[1] as string, inputs[2] as string];
      const plus = node.inputs.length > 3 ? lowering.blocked(3, "turn") : undefined;
      return lowering.bindBlocked(0, affineInBlocks(lowering, image, scale, shift, x.dim(1), plus));
    }
    const [from, scale, shift, plus] = inputs as [string, string, string, string?];
    const shape = integers(along(x, attributes.axis));
    const scaled = value("Mul", [from, value("Reshape", [scale, shape])]);
    const offset = value("Reshape", [shift, shape]);
    emit("Add", [plus === undefined ? scaled : value("Add", [scaled, plus]), offset]);
  },
});

/** y = scale · x + shift (+ plus), scale and shift [C] along the axis of the channels. */
export const channelAffine = (
  x: Tensor,
  scale: Tensor,
  shift: Tensor,
  { axis = 1, plus }: { readonly axis?: 1 | -1; readonly plus?: Tensor } = {},
): Tensor => makeAffine([x, scale, shift, ...(plus ? [plus] : [])], { axis });

interface BatchNormAttributes extends ChannelAttributes {
  readonly eps: number;
}

/** Outputs y, x - μ, μ and σ², the last two [C]. */
const makeBatchNorm = defineOperation<BatchNormAttributes>({
  name: "batchNorm",
  infer: ([input, weight, bias], { axis }) => {
    const x = input as Tensor;
    requireVectors("batchNorm", x, axis, [weight as Tensor, bias as Tensor]);
    if (x.size === 0) fail("shape", `batchNorm: ${formatShape(x.shape)} is empty, so it has no statistics`);
    const statistic = { shape: [x.dim(axis)] as Shape, dtype: x.dtype };
    return [x, x, statistic, statistic];
  },
  // With n values a channel and s = w / √(σ² + ε): ∂x = s (g - Σg / n - x̂ Σ(g x̂) / n), as one factor for g, one for x - μ
  // and one offset. What arrives at the other outputs joins in these factors.
  gradient: ({ inputs, outputs, gradients: [g, ofCentred, ofMean, ofVariance], needs, attributes: { axis, eps } }) => {
    const [x, weight] = inputs as [Tensor, Tensor];
    const [, centred, , variance] = outputs as [Tensor, Tensor, Tensor, Tensor];
    const n = x.size / x.dim(axis);
    const inverse = rsqrt(add(variance, eps));
    const total = g && overChannels(g, axis);
    const product = g && overChannels(mul(g, centred), axis);
    const dx = () => {
      const s = mul(weight, inverse);
      const offsets: Tensor[] = [];
      const factors: Tensor[] = [];
      if (total && product) {
        factors.push(mul(mul(mul(s, square(inverse)), product), -1 / n));
        offsets.push(mul(mul(s, total), -1 / n));
      }
      if (ofVariance) factors.push(mul(ofVariance, 2 / n));
      if (ofMean) offsets.push(mul(ofMean, 1 / n));
      if (ofCentred) offsets.push(mul(overChannels(ofCentred, axis), -1 / n));
      const zero = zerosLike(weight);
      const [factor, offset] = [factors.reduce(add, zero), offsets.reduce(add, zero)];
      const own = channelAffine(centred, factor, offset, { axis, ...(ofCentred && { plus: ofCentred }) });
      return g ? channelAffine(g, s, zero, { axis, plus: own }) : own;
    };
    return [
      needs(0) ? dx() : undefined,
      product && needs(1) ? mul(product, inverse) : undefined,
      needs(2) ? total : undefined,
    ];
  },
  flops: ({ inputs }) => 8 * (inputs[0] as Tensor).size,
  lower: (lowering) => {
    const { node, inputs, value, scalar, integers, bind, attributes } = lowering;
    const x = node.inputs[0] as Tensor;
    const image = attributes.axis === 1 ? lowering.blocked(0) : undefined;
    const vector = integers([x.dim(attributes.axis)]);
    const flat = (statistic: string) => value("Reshape", [statistic, vector]);
    const average = (of: string) =>
      image === undefined
        ? value("ReduceMean", [of, integers(others(x, attributes.axis))], { keepdims: 1 })
        : value("ReduceMean", [value("GlobalAveragePool", [of], {}, blockedDomain), integers([0])], { keepdims: 1 });
    const affine = (of: string, scale: string, shift: string) => affineInBlocks(lowering, of, scale, shift, x.dim(1));
    const middle = average(image ?? (inputs[0] as string));
    const mean = flat(middle);
    const centred =
      image === undefined
        ? value("Sub", [inputs[0] as string, middle])
        : affine(image, lowering.constant(filled(x.dim(1), 1)), value("Neg", [mean]));
    const variance = flat(average(value("Mul", [centred, centred])));
    const deviation = value("Sqrt", [value("Add", [variance, scalar(attributes.eps, x.dtype)])]);
    const scale = value("Div", [inputs[1] as string, deviation]);
    if (image !== undefined) {
      bind("", "", mean, variance);
      lowering.bindBlocked(0, affine(centred, scale, inputs[2] as string));
      return lowering.bindBlocked(1, centred);
    }
    const shape = integers(along(x, attributes.axis));
    const scaled = value("Mul", [centred, value("Reshape", [scale, shape])]);
    bind(value("Add", [scaled, value("Reshape", [inputs[2] as string, shape])]), centred, mean, variance);
  },
});

const filled = (count: number, value: number): NDArray =>
  new NDArray(new Float32Array(count).fill(value), [count], "float32");

export interface BatchNormalized {
  readonly y: Tensor;
  /** [C] each; the variance is the population's. */
  readonly mean: Tensor;
  readonly variance: Tensor;
}

/**
 * y = (x - μ) / √(σ² + ε) · weight + bias with mean and population variance over all axes but the channels' (Batch
 * Normalization, 2015), weight and bias [C]. Throws for an empty x and for vectors of another length.
 */
export function batchNorm(
  x: Tensor,
  {
    weight,
    bias,
    axis = 1,
    eps = 1e-5,
  }: { weight?: Tensor | undefined; bias?: Tensor | undefined; axis?: 1 | -1; eps?: number } = {},
): BatchNormalized {
  const [gain, offset] = [weight ?? ones([x.dim(axis)], x.dtype), bias ?? zeros([x.dim(axis)], x.dtype)];
  const [y, , mean, variance] = makeBatchNorm([x, gain, offset], { axis, eps }) as [Tensor, Tensor, Tensor, Tensor];
  return { y, mean, variance };
}

/** Convolutions over one or two spatial axes, channels first, and their transposes. Each is the other's gradient. */
import { inPrecision } from "./autocast.js";
import {
  convolveColumns,
  inputGradientOfColumns,
  type Sliding,
  suitsColumns,
  weightGradientOfColumns,
} from "./columns.js";
import { fail } from "./errors.js";
import { formatShape, type Shape } from "./shape.js";
import { flip, reshape, slice, transpose } from "./shaping.js";
import { attachMethods, blockedDomain, defineSingle, type Lowering, type MethodsOf, type Tensor } from "./tensor.js";

/** A number for all spatial axes, or one per axis. */
export type PerAxis = number | readonly number[];
/** Zeros on both sides, per axis, or [before, after] pairs per axis. */
export type Padding = PerAxis | readonly (readonly [number, number])[];

export interface ConvolutionOptions {
  readonly stride?: PerAxis;
  readonly padding?: Padding;
  readonly dilation?: PerAxis;
  readonly groups?: number;
}

interface Geometry {
  readonly stride: readonly number[];
  readonly before: readonly number[];
  readonly after: readonly number[];
  readonly dilation: readonly number[];
  readonly groups: number;
  /** The weight is that of the opposite direction, [in, out, k]: used as `opposite` makes it, without making it first. */
  readonly turned?: boolean;
  /** Its kernel is as large as an image: the engine's blocked kernels are slow at that. */
  readonly unblocked?: boolean;
}

export function perAxis(name: string, what: string, value: PerAxis, axes: number, least: number): number[] {
  const list = typeof value === "number" ? Array.from({ length: axes }, () => value) : [...value];
  if (list.length !== axes || list.some((n) => !Number.isInteger(n) || n < least))
    fail("argument", `${name}: ${what} must be ${axes} integers of at least ${least}, got ${formatShape(list)}`);
  return list;
}

export function paddingPairs(name: string, padding: Padding, axes: number): [number[], number[]] {
  if (typeof padding !== "number" && typeof padding[0] !== "number" && padding.length > 0) {
    const pairs = padding as readonly (readonly [number, number])[];
    return [0, 1].map((side) =>
      perAxis(
        name,
        "padding",
        pairs.map((p) => p[side] as number),
        axes,
        0,
      ),
    ) as [number[], number[]];
  }
  const both = perAxis(name, "padding", padding as PerAxis, axes, 0);
  return [both, both];
}

function geometry(
  name: string,
  axes: number,
  { stride = 1, padding = 0, dilation = 1, groups = 1 }: ConvolutionOptions,
): Geometry {
  const [before, after] = paddingPairs(name, padding, axes);
  if (!Number.isInteger(groups) || groups < 1)
    fail("argument", `${name}: groups must be a positive integer, got ${groups}`);
  return {
    stride: perAxis(name, "stride", stride, axes, 1),
    before,
    after,
    dilation: perAxis(name, "dilation", dilation, axes, 1),
    groups,
  };
}

const at = (list: readonly number[], i: number): number => list[i] as number;
const extent = (kernel: number, dilation: number): number => dilation * (kernel - 1) + 1;

function requireRanks(name: string, x: Tensor, weight: Tensor, axes: number): void {
  if (x.rank !== axes + 2 || weight.rank !== axes + 2)
    fail(
      "shape",
      `${name}: expected input and weight of rank ${axes + 2}, got ${formatShape(x.shape)} and ${formatShape(weight.shape)}`,
    );
  if (x.dtype !== weight.dtype) fail("dtype", `${name}: input is ${x.dtype}, weight ${weight.dtype}`);
  if (x.dtype !== "float32" && x.dtype !== "float16")
    fail("dtype", `${name}: no engine convolves ${x.dtype}; convert with .cast("float32")`);
}

const onnxGeometry = ({ stride, before, after, dilation, groups }: Geometry, weight: Tensor) => ({
  strides: stride,
  pads: [...before, ...after],
  dilations: dilation,
  group: groups,
  kernel_shape: weight.shape.slice(2),
});

/** Output and input channels of a weight as it is used. */
const channelsOf = (weight: Tensor, { turned }: Geometry): readonly [out: number, perGroup: number] =>
  turned ? [weight.dim(1), weight.dim(0)] : [weight.dim(0), weight.dim(1)];

const makeConvolution = defineSingle<Geometry>({
  name: "convolution",
  infer: ([input, kernel], geometry) => {
    const { stride, before, after, dilation, groups } = geometry;
    const [x, weight] = [input as Tensor, kernel as Tensor];
    const channels = x.dim(1);
    const [out, perGroup] = channelsOf(weight, geometry);
    if (channels !== perGroup * groups || out % groups !== 0)
      fail(
        "shape",
        `convolution: ${channels} input channels in ${groups} groups do not fit a weight ${formatShape(weight.shape)} [out, in / groups, ...]`,
      );
    const spatial = x.shape.slice(2).map((n, i) => {
      const room = n + at(before, i) + at(after, i) - extent(weight.dim(i + 2), at(dilation, i));
      return room < 0
        ? fail(
            "shape",
            `convolution: kernel ${formatShape(weight.shape.slice(2))} is larger than the padded input ${formatShape(x.shape)}`,
          )
        : Math.floor(room / at(stride, i)) + 1;
    });
    return { shape: [x.dim(0), out, ...spatial], dtype: x.dtype };
  },
  gradient: ({ inputs, gradient, needs, attributes }) => {
    const [x, weight] = inputs as [Tensor, Tensor];
    const sliding = inColumns(x, weight, gradient, attributes);
    if (sliding)
      return [
        needs(0) ? inputGradientOfColumns(gradient, weight, sliding) : undefined,
        needs(1) ? weightGradientOfColumns(x, gradient, weight, sliding) : undefined,
      ];
    return [
      needs(0) ? inputGradient(gradient, x, weight, attributes) : undefined,
      needs(1) ? usedWeightGradient(x, gradient, weight, attributes) : undefined,
    ];
  },
  flops: ({ inputs, outputs, attributes }) => {
    const weight = inputs[1] as Tensor;
    return (2 * (outputs[0] as Tensor).size * weight.size) / channelsOf(weight, attributes as Geometry)[0];
  },
  lower: (lowering) => {
    const { emit, inputs, node, attributes } = lowering;
    const [x, weight, y] = [...node.inputs, ...node.outputs] as [Tensor, Tensor, Tensor];
    const block = lowering.channelBlock;
    const sliding = block === undefined ? undefined : inColumns(x, weight, y, attributes);
    if (sliding) return lowering.compose(convolveColumns(x, weight, sliding));
    const few = hasFewPlaces(y);
    if (!few && fitsBlocks(weight, attributes, block)) return lowerBlocked(lowering, weight, block);
    if (!attributes.turned) return emit("Conv", inputs, onnxGeometry(attributes, weight));
    if (few) return lowerTurnedImage(lowering, weight);
    const [image, w] = inputs as [string, string];
    emit("Conv", [image, turnedWeight(lowering, w, weight)], onnxGeometry(attributes, weight));
  },
});

/** Instead of the kernel, the image is turned round, and so is what comes of it: less to move where places are few. */
function lowerTurnedImage({ emit, value, integers, inputs, attributes }: Lowering<Geometry>, weight: Tensor): void {
  const [channels, out, ...kernel] = weight.shape as [number, number, ...number[]];
  const places = kernel.reduce((a, b) => a * b, 1);
  const backwards = [-1, Number.MIN_SAFE_INTEGER, -1].map((n) => integers(kernel.map(() => n)));
  const [starts, ends, steps] = backwards as [string, string, string];
  const turned = (x: string): readonly string[] => [x, starts, ends, integers(kernel.map((_, i) => i + 2)), steps];
  const flat = value("Reshape", [inputs[1] as string, integers([channels, out, places])]);
  const swapped = value("Transpose", [flat], { perm: [1, 0, 2] });
  const { before, after } = attributes;
  const y = value(
    "Conv",
    [value("Slice", turned(inputs[0] as string)), value("Reshape", [swapped, integers([out, channels, ...kernel])])],
    onnxGeometry({ ...attributes, before: after, after: before }, weight),
  );
  emit("Slice", turned(y));
}

/** [in, out, k] to [out, in, k], each kernel turned round: its places in the opposite order. */
function turnedWeight({ value, integers }: Lowering<Geometry>, w: string, weight: Tensor): string {
  const [inputs, outputs, ...kernel] = weight.shape as [number, number, ...number[]];
  const places = kernel.reduce((a, b) => a * b, 1);
  const flat = value("Reshape", [w, integers([inputs, outputs, places])]);
  const backwards = value("Gather", [flat, integers(fromLast(places))], { axis: 2 });
  const swapped = value("Transpose", [backwards], { perm: [1, 0, 2] });
  return value("Reshape", [swapped, integers([outputs, inputs, ...kernel])]);
}

const fromLast = (count: number): number[] => Array.from({ length: count }, (_, i) => count - 1 - i);

/** With fewer places than this in all images, turning the weight takes longer than is won by it. */
const fewPlaces = 1024;
const hasFewPlaces = (y: Tensor): boolean => y.size < fewPlaces * y.dim(1);

/** How windows lie, where the convolution x ∗ weight (with a result like y) is best done as products (see columns.ts). */
function inColumns(x: Tensor, weight: Tensor, y: Tensor, geometry: Geometry): Sliding | undefined {
  const { stride, before, dilation, groups, turned, unblocked } = geometry;
  if (groups > 1 || turned || unblocked || !hasFewPlaces(y) || y.size === 0) return undefined;
  const space = ({ shape }: Tensor) => shape.slice(2);
  const sliding = { image: space(x), kernel: space(weight), windows: space(y), stride, before, dilation };
  return suitsColumns(sliding, weight.dim(0)) ? sliding : undefined;
}

function fitsBlocks(
  weight: Tensor,
  { groups, unblocked, turned }: Geometry,
  block: number | undefined,
): block is number {
  const [out, channels] = [weight.dim(0), weight.dim(1)];
  const isPlain = weight.rank === 4 && weight.dtype === "float32" && groups === 1 && !unblocked;
  return (
    block !== undefined && isPlain && out % block === 0 && (channels % block === 0 || (channels < block && !turned))
  );
}

/**
 * In the engine's own layout, [N, C/B, H, W, B], which its processor kernels run up to twice as fast (LOG.md). Left to
 * itself the engine only does so where weights are constants. The kernel's weight is [O/B, I/B, kh, kw, B of I, B of O].
 */
function lowerBlocked(
  { value, integers, inputs, blocked, bindBlocked, attributes }: Lowering<Geometry>,
  weight: Tensor,
  B: number,
): void {
  const [first, second, kh, kw] = weight.shape as [number, number, number, number];
  const [out, channels] = channelsOf(weight, attributes);
  const w = inputs[1] as string;
  const places = kh * kw;
  // In two steps that move one axis each: the engine is three times as fast at those.
  const moved = (from: string, shape: readonly number[], perm: readonly number[]) =>
    value("Transpose", [value("Reshape", [from, integers(shape)])], { perm });
  const inBlocks =
    channels < B
      ? moved(w, [first / B, B, second * places], [0, 2, 1])
      : attributes.turned
        ? moved(
            moved(w, [first, second / B, B * places], [1, 0, 2]),
            [weight.size / (B * B * places), B * B, places],
            [0, 2, 1],
          )
        : moved(
            moved(w, [first / B, B, second * places], [0, 2, 1]),
            [weight.size / (B * B * places), B, places, B],
            [0, 2, 1, 3],
          );
  const ordered = attributes.turned ? value("Gather", [inBlocks, integers(fromLast(places))], { axis: 1 }) : inBlocks;
  const kernel = value("Reshape", [ordered, integers([out, channels, kh, kw])]);
  // What has fewer channels than a block is taken as it is.
  const image = channels < B ? (inputs[0] as string) : (blocked(0, "turn") as string);
  bindBlocked(0, value("Conv", [image, kernel], onnxGeometry(attributes, weight), blockedDomain));
}

interface TransposeGeometry extends Geometry {
  readonly outputPadding: readonly number[];
}

const makeTransposed = defineSingle<TransposeGeometry>({
  name: "convolutionTranspose",
  infer: ([input, kernel], { stride, before, after, dilation, groups, outputPadding }) => {
    const [x, weight] = [input as Tensor, kernel as Tensor];
    if (x.dim(1) !== weight.dim(0) || x.dim(1) % groups !== 0)
      fail(
        "shape",
        `convolutionTranspose: ${x.dim(1)} input channels do not fit a weight ${formatShape(weight.shape)} [in, out / groups, ...]`,
      );
    const spatial = x.shape.slice(2).map((n, i) => {
      const length =
        (n - 1) * at(stride, i) -
        at(before, i) -
        at(after, i) +
        extent(weight.dim(i + 2), at(dilation, i)) +
        at(outputPadding, i);
      return length < 0
        ? fail("shape", `convolutionTranspose: padding cuts away the whole output of ${formatShape(x.shape)}`)
        : length;
    });
    return { shape: [x.dim(0), weight.dim(1) * groups, ...spatial], dtype: x.dtype };
  },
  gradient: ({ inputs, gradient, needs, attributes }) => {
    const [x, weight] = inputs as [Tensor, Tensor];
    return [
      needs(0) ? makeConvolution([gradient, weight], attributes) : undefined,
      needs(1) ? weightGradient(gradient, x, weight.shape, attributes) : undefined,
    ];
  },
  flops: ({ inputs }) => {
    const [x, weight] = inputs as [Tensor, Tensor];
    return (2 * x.size * weight.size) / weight.dim(0);
  },
  lower: ({ emit, inputs, node, attributes }) =>
    emit("ConvTranspose", inputs, {
      ...onnxGeometry(attributes, node.inputs[1] as Tensor),
      output_padding: attributes.outputPadding,
    }),
});

/** The weight of the opposite direction: [O, C/g, k] to [C, O/g, k], each kernel turned round. */
function opposite(weight: Tensor, groups: number): Tensor {
  const [out, perGroup, ...kernel] = weight.shape as [number, number, ...number[]];
  const turned = flip(
    weight,
    kernel.map((_, i) => i + 2),
  );
  const grouped = reshape(turned, [groups, out / groups, perGroup, ...kernel]);
  const swapped = transpose(grouped, [0, 2, 1, ...kernel.map((_, i) => i + 3)]);
  return reshape(swapped, [groups * perGroup, out / groups, ...kernel]);
}

/** The gradient of the weight as it is stored. */
function usedWeightGradient(x: Tensor, g: Tensor, weight: Tensor, { turned, ...geometry }: Geometry): Tensor {
  if (!turned) return weightGradient(x, g, weight.shape, geometry);
  const [inputs, outputs, ...kernel] = weight.shape as [number, number, ...number[]];
  return opposite(weightGradient(x, g, [outputs, inputs, ...kernel], geometry), 1);
}

/** With stride 1 a plain convolution by the turned kernel, which engines run faster than their transposed one. */
function inputGradient(g: Tensor, x: Tensor, weight: Tensor, geometry: Geometry): Tensor {
  const { stride, before, after, dilation, groups, turned = false } = geometry;
  const reach = weight.shape.slice(2).map((k, i) => extent(k, at(dilation, i)) - 1);
  const plain = stride.every((s) => s === 1) && reach.every((r, i) => r >= at(before, i) && r >= at(after, i));
  if (plain) {
    const rest = (side: readonly number[]) => reach.map((r, i) => r - at(side, i));
    const back = { stride, before: rest(before), after: rest(after), dilation, groups };
    // Turned twice is as it was.
    if (turned) return makeConvolution([g, weight], back);
    if (groups === 1) return makeConvolution([g, weight], { ...back, turned: true });
    return makeConvolution([g, opposite(weight, groups)], back);
  }
  const outputPadding = x.shape.slice(2).map((n, i) => {
    const covered =
      (g.dim(i + 2) - 1) * at(stride, i) - at(before, i) - at(after, i) + extent(weight.dim(i + 2), at(dilation, i));
    return n - covered;
  });
  return makeTransposed([g, weight], { ...geometry, outputPadding });
}

/**
 * dW[o, c, k] = Σ over batch n and places p of g[n, o, p] x[n, c, stride · p + k]: a convolution whose kernel is the whole of g
 * and whose channels are the images. Of x the channels come last and lie side by side along the last axis, [1, N, .., W C],
 * with dilation C there, so that every place it computes is a weight, [1, O, .., K C], and its columns are cut out
 * of x in runs of K C numbers, by all threads (LOG.md has the numbers).
 */
function weightGradient(x: Tensor, g: Tensor, shape: Shape, geometry: Geometry): Tensor {
  const { stride, before, dilation, groups } = geometry;
  if (dilation.at(-1) !== 1) return weightGradientByExchange(x, g, shape, geometry);
  const [out, perGroup, ...kernel] = shape as [number, number, ...number[]];
  const batch = x.dim(0);
  const spatial = kernel.map((_, i) => i);
  const last = spatial.length - 1;
  if (stride.some((s) => s > 1) && kernel.every((k) => k === 1) && before.every((b) => b === 0)) {
    // A kernel of one place sees every stride-th place alone.
    const seen = spatial.reduce(
      (y, i) => slice(y, { axis: i + 2, end: (g.dim(i + 2) - 1) * at(stride, i) + 1, step: at(stride, i) }),
      x,
    );
    return weightGradient(seen, g, shape, { ...geometry, stride: kernel });
  }
  // What the kernel sees of each axis, from its first place to its last; before that zeros, behind it zeros or nothing.
  const seen = spatial.map(
    (i) => (g.dim(i + 2) - 1) * at(stride, i) + extent(at(kernel, i), at(dilation, i)) - at(before, i),
  );
  const used = spatial.reduce(
    (y, i) => (at(seen, i) < x.dim(i + 2) ? slice(y, { axis: i + 2, end: at(seen, i) }) : y),
    x,
  );
  const lengths = used.shape.slice(2);
  const channelsLast =
    groups === 1
      ? transpose(used, [0, ...spatial.map((i) => i + 2), 1])
      : transpose(reshape(used, [batch, groups, perGroup, ...lengths]), [1, 0, ...spatial.map((i) => i + 3), 2]);
  const widths = (list: readonly number[]) => list.map((n, i) => (i === last ? n * perGroup : n));
  const image = reshape(channelsLast, [1, groups * batch, ...widths(lengths)]);
  const weights = makeConvolution([image, transpose(g, [1, 0, ...spatial.map((i) => i + 2)])], {
    stride: dilation,
    before: widths(before),
    after: widths(seen.map((n, i) => n - at(lengths, i))),
    dilation: widths(stride),
    groups,
    unblocked: true,
  });
  const places = kernel.reduce((a, b) => a * b, 1);
  return reshape(transpose(reshape(weights, [out, places, perGroup]), [0, 2, 1]), shape);
}

/** The same with batch and channels exchanged, stride and dilation too: few places for a large kernel, which is slow. */
function weightGradientByExchange(
  x: Tensor,
  g: Tensor,
  shape: Shape,
  { stride, before, after, dilation, groups }: Geometry,
): Tensor {
  const [batch, channels, ...spatial] = x.shape as [number, number, ...number[]];
  const axes = spatial.map((_, i) => i);
  const perGroup = channels / groups;
  const grouped = transpose(reshape(x, [batch, groups, perGroup, ...spatial]), [2, 1, 0, ...axes.map((i) => i + 3)]);
  const image = reshape(grouped, [perGroup, groups * batch, ...spatial]);
  const kernel = transpose(g, [1, 0, ...axes.map((i) => i + 2)]);
  const wide = makeConvolution([image, kernel], { stride: dilation, before, after, dilation: stride, groups });
  const cut = axes.reduce((y, i) => slice(y, { axis: i + 2, end: at(shape, i + 2) }), wide);
  return transpose(cut, [1, 0, ...axes.map((i) => i + 2)]);
}

const convolve =
  (name: string, axes: number) =>
  (x: Tensor, weight: Tensor, options: ConvolutionOptions = {}): Tensor => {
    requireRanks(name, x, weight, axes);
    const shape = geometry(name, axes, options);
    return inPrecision([x, weight], (operands) => makeConvolution(operands, shape));
  };
/** Cross-correlation: x [N, C, L], weight [O, C / groups, K]. */
export const conv1d = convolve("conv1d", 1);
/** Cross-correlation: x [N, C, H, W], weight [O, C / groups, KH, KW]. */
export const conv2d = convolve("conv2d", 2);

export interface ConvolutionTransposeOptions extends ConvolutionOptions {
  readonly outputPadding?: PerAxis;
}
const convolveTransposed =
  (name: string, axes: number) =>
  (x: Tensor, weight: Tensor, { outputPadding = 0, ...options }: ConvolutionTransposeOptions = {}): Tensor => {
    requireRanks(name, x, weight, axes);
    const extra = perAxis(name, "outputPadding", outputPadding, axes, 0);
    const shape = geometry(name, axes, options);
    if (extra.some((n, i) => n >= Math.max(at(shape.stride, i), at(shape.dilation, i))))
      fail("argument", `${name}: outputPadding must be smaller than stride or dilation, got ${formatShape(extra)}`);
    return inPrecision([x, weight], (operands) => makeTransposed(operands, { ...shape, outputPadding: extra }));
  };
/** The adjoint of conv1d: x [N, C, L], weight [C, O / groups, K]. */
export const convTranspose1d = convolveTransposed("convTranspose1d", 1);
/** The adjoint of conv2d: x [N, C, H, W], weight [C, O / groups, KH, KW]. */
export const convTranspose2d = convolveTransposed("convTranspose2d", 2);

const methods = { conv1d, conv2d, convTranspose1d, convTranspose2d };
declare module "./tensor.js" {
  interface Tensor extends MethodsOf<typeof methods> {}
}
attachMethods(methods);

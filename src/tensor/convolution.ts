/** Convolutions over one or two spatial axes, channels first, and their transposes. Each is the other's gradient. */
import { fail } from "./errors.js";
import { matmul } from "./matrix.js";
import { sum } from "./reduction.js";
import { formatShape, type Shape } from "./shape.js";
import { concat, flip, pad, reshape, slice, transpose } from "./shaping.js";
import { attachMethods, defineSingle, type Lowering, type MethodsOf, type Tensor } from "./tensor.js";

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
    const weight = node.inputs[1] as Tensor;
    if (fitsBlocks(weight, attributes, lowering.channelBlock)) lowerBlocked(lowering, weight, lowering.channelBlock);
    else {
      const [x, w] = inputs as [string, string];
      emit("Conv", [x, attributes.turned ? turnedWeight(lowering, w, weight) : w], onnxGeometry(attributes, weight));
    }
  },
});

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

function fitsBlocks(weight: Tensor, { groups }: Geometry, block: number | undefined): block is number {
  const [out, channels] = [weight.dim(0), weight.dim(1)];
  const isPlain = weight.rank === 4 && weight.dtype === "float32" && groups === 1;
  return block !== undefined && isPlain && out % block === 0 && channels % block === 0;
}

/** Where the engine's operators on its own layout for convolutions live. */
export const blockedDomain = "com.microsoft.nchwc";

/**
 * In the engine's own layout, [N, C/B, H, W, B], which its processor kernels run up to twice as fast (LOG.md). Left to
 * itself the engine only does so where weights are constants. The kernel's weight is [O/B, I/B, kh, kw, B of I, B of O].
 */
function lowerBlocked(
  { emit, value, integers, inputs, attributes }: Lowering<Geometry>,
  weight: Tensor,
  B: number,
): void {
  const [first, second, kh, kw] = weight.shape as [number, number, number, number];
  const [out, channels] = channelsOf(weight, attributes);
  const [x, w] = inputs as [string, string];
  const blocks = value("Reshape", [w, integers([first / B, B, second / B, B, kh * kw])]);
  const perm = attributes.turned ? [2, 0, 4, 1, 3] : [0, 2, 4, 3, 1];
  const inBlocks = value("Transpose", [blocks], { perm });
  const ordered = attributes.turned ? value("Gather", [inBlocks, integers(fromLast(kh * kw))], { axis: 2 }) : inBlocks;
  const kernel = value("Reshape", [ordered, integers([out, channels, kh, kw])]);
  const image = value("ReorderInput", [x], {}, blockedDomain);
  const y = value("Conv", [image, kernel], onnxGeometry(attributes, weight), blockedDomain);
  emit("ReorderOutput", [y], { channels: out }, blockedDomain);
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
 * x is laid out for one product where the product is large and the layout small; else each place of the kernel has a
 * product of its own.
 */
const mostColumnBytes = 2 ** 27;
const fewChannels = 64 * 64;

/**
 * dW[o, c, k] = Σ over batch and places p of g[o, p] x[c, stride · p + dilation · k]: a product of g with x laid out once for
 * every place of the kernel. Engines run it two to three times as fast as the convolution that it also is (LOG.md), which
 * stays where a group has one channel, and for float16, which the CPU cannot multiply.
 */
function weightGradient(x: Tensor, g: Tensor, shape: Shape, geometry: Geometry): Tensor {
  const perGroup = x.dim(1) / geometry.groups;
  if (x.dtype !== "float32" || (geometry.groups > 1 && perGroup < 4))
    return weightGradientByConvolution(x, g, shape, geometry);
  const { groups } = geometry;
  const [batch, out] = [g.dim(0), g.dim(1)];
  const places = g.size / (batch * out);
  const gradient = reshape(g, [batch, groups, out / groups, places]);
  const columns = kernelPlaces(shape).map((place) =>
    reshape(shifted(x, place, g, geometry), [batch, groups, perGroup, places]),
  );
  const product = (column: Tensor) => sum(matmul(gradient, transpose(column, [0, 1, 3, 2])), 0);
  const taps = columns.length;
  if (perGroup * (out / groups) > fewChannels && 4 * taps * x.size <= mostColumnBytes) {
    const all = reshape(product(concat(columns, 2)), [out, taps, perGroup]);
    return reshape(transpose(all, [0, 2, 1]), shape);
  }
  const each = columns.map((column) => reshape(product(column), [out, perGroup, 1]));
  return reshape(concat(each, 2), shape);
}

/** Every place of a kernel, in order. */
function kernelPlaces(shape: Shape): number[][] {
  return shape
    .slice(2)
    .reduce<number[][]>((all, n) => all.flatMap((place) => Array.from({ length: n }, (_, k) => [...place, k])), [[]]);
}

/** What one place of the kernel sees: x[.., stride · p + dilation · place] for every place p of the output g. */
function shifted(
  x: Tensor,
  place: readonly number[],
  g: Tensor,
  { stride, before, after, dilation }: Geometry,
): Tensor {
  const pairs = [...before, ...after].some((n) => n > 0)
    ? pad(x, [[0, 0], [0, 0], ...before.map((n, i): [number, number] => [n, at(after, i)])])
    : x;
  return place.reduce((y, k, i) => {
    const start = k * at(dilation, i);
    return slice(y, {
      axis: i + 2,
      start,
      end: start + (g.dim(i + 2) - 1) * at(stride, i) + 1,
      step: at(stride, i),
    });
  }, pairs);
}

/** The same as one convolution with batch and channels exchanged, stride and dilation too. */
function weightGradientByConvolution(
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
    return makeConvolution([x, weight], geometry(name, axes, options));
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
    return makeTransposed([x, weight], { ...shape, outputPadding: extra });
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

/**
 * How a reference case calls our library: the operation's public name, to a function of its input tensors and its
 * options. The options of a case are the options of the operation, plus its positional arguments under plain names.
 */
import {
  type AveragePoolOptions,
  type Axes,
  arange,
  batchNorm,
  type ConvolutionOptions,
  type ConvolutionTransposeOptions,
  type CrossEntropyOptions,
  channelAffine,
  concat,
  crossEntropy,
  type DType,
  einsum,
  embedding,
  eye,
  full,
  type GeluOptions,
  oneHot,
  ones,
  type PadOptions,
  type PerAxis,
  type PoolOptions,
  type ReduceOptions,
  type ResizeOptions,
  type Shape,
  type SliceOptions,
  stack,
  stopGradient,
  straightThrough,
  type Tensor,
  where,
  zeros,
} from "../../src/tensor/index.js";

type One = readonly [Tensor];
type Two = readonly [Tensor, Tensor];
type Three = readonly [Tensor, Tensor, Tensor];
type Many = readonly Tensor[];

export type OperationCall = (inputs: never, attributes: never) => Tensor | readonly Tensor[];

/** Methods with no argument. */
const plain = [
  ...["neg", "abs", "sign", "exp", "log", "sqrt", "rsqrt", "reciprocal", "square", "tanh", "erf", "sigmoid"],
  ...["softplus", "sin", "cos", "atan", "round", "floor", "ceil", "relu", "silu", "not", "isNaN", "isFinite"],
] as ("neg" | "not" | "isNaN")[];
/** Methods whose other operand is a tensor or a number (`other`). */
const paired = [
  ...["add", "sub", "mul", "div", "pow", "maximum", "minimum", "mod"],
  ...["equal", "notEqual", "less", "lessEqual", "greater", "greaterEqual", "and", "or", "xor"],
] as ("add" | "equal")[];
/** Reductions over `axes`. */
const reductions = [...["sum", "mean", "variance", "max", "min", "prod", "logSumExp", "norm", "any", "all"]] as (
  | "sum"
  | "any"
)[];

const each = <Name extends string>(names: readonly Name[], call: (name: Name) => OperationCall) =>
  Object.fromEntries(names.map((name) => [name, call(name)]));

type Keep = ReduceOptions & { readonly axes?: Axes };
type AtAxis = { readonly axis: number };
type Constant = { readonly shape: Shape; readonly dtype?: DType };
type Arange = { readonly start: number; readonly stop?: number; readonly step?: number; readonly dtype?: DType };
type ChannelAxis = { readonly axis: 1 | -1 };
type Norm = { readonly axes?: number; readonly eps: number };

export const operationCalls: Readonly<Record<string, OperationCall>> = {
  ...each(
    plain,
    (name) =>
      ([x]: One) =>
        x[name](),
  ),
  ...each(
    paired,
    (name) =>
      ([a, b]: readonly [Tensor, Tensor?], { other }: { readonly other: number }) =>
        a[name](b ?? other),
  ),
  ...each(
    reductions,
    (name) =>
      ([x]: One, { axes, ...options }: Keep) =>
        x[name](axes, options),
  ),

  gelu: ([x]: One, options: GeluOptions) => x.gelu(options),
  clamp: ([x]: One, options: { readonly min?: number; readonly max?: number }) => x.clamp(options),
  where: ([c, a, b]: Three) => where(c, a, b),
  cast: ([x]: One, { dtype }: { readonly dtype: DType }) => x.cast(dtype),
  stopGradient: ([x]: One) => stopGradient(x),
  straightThrough: ([value, path]: Two) => straightThrough(value, path),

  argmax: ([x]: One, { axis, ...options }: ReduceOptions & AtAxis) => x.argmax(axis, options),
  argmin: ([x]: One, { axis, ...options }: ReduceOptions & AtAxis) => x.argmin(axis, options),
  cumsum: ([x]: One, { axis, ...options }: AtAxis & { readonly reverse?: boolean }) => x.cumsum(axis, options),
  topK: ([x]: One, { k, ...options }: AtAxis & { readonly k: number; readonly largest: boolean }) => {
    const { values, indices } = x.topK(k, options);
    return [values, indices];
  },
  sort: ([x]: One, { axis, ...options }: AtAxis & { readonly descending: boolean }) => {
    const { values, indices } = x.sort(axis, options);
    return [values, indices];
  },

  matmul: ([a, b]: Two) => a.matmul(b),
  einsum: (inputs: Many, { equation }: { readonly equation: string }) => einsum(equation, ...inputs),
  tril: ([x]: One, { k }: { readonly k?: number }) => x.tril(k),
  triu: ([x]: One, { k }: { readonly k?: number }) => x.triu(k),
  zeros: (_: Many, { shape, dtype }: Constant) => zeros(shape, dtype),
  ones: (_: Many, { shape, dtype }: Constant) => ones(shape, dtype),
  full: (_: Many, { shape, value, dtype }: Constant & { readonly value: number }) => full(shape, value, dtype),
  eye: (_: Many, { n }: { readonly n: number }) => eye(n),
  arange: (_: Many, { start, stop, step, dtype }: Arange) =>
    stop === undefined ? arange(start, dtype) : arange(start, stop, step, dtype),

  conv1d: ([x, w]: Two, options: ConvolutionOptions) => x.conv1d(w, options),
  conv2d: ([x, w]: Two, options: ConvolutionOptions) => x.conv2d(w, options),
  convTranspose1d: ([x, w]: Two, options: ConvolutionTransposeOptions) => x.convTranspose1d(w, options),
  convTranspose2d: ([x, w]: Two, options: ConvolutionTransposeOptions) => x.convTranspose2d(w, options),

  maxPool1d: ([x]: One, options: PoolOptions) => x.maxPool1d(options),
  maxPool2d: ([x]: One, options: PoolOptions) => x.maxPool2d(options),
  averagePool1d: ([x]: One, options: AveragePoolOptions) => x.averagePool1d(options),
  averagePool2d: ([x]: One, options: AveragePoolOptions) => x.averagePool2d(options),
  ...each(
    ["adaptiveAveragePool1d", "adaptiveAveragePool2d", "adaptiveMaxPool1d", "adaptiveMaxPool2d"] as const,
    (name) =>
      ([x]: One, { outputSize }: { readonly outputSize: PerAxis }) =>
        x[name](outputSize),
  ),
  resize: ([x]: One, options: ResizeOptions) => x.resize(options),

  slice: ([x]: One, options: SliceOptions) => x.slice(options),
  pad: ([x]: One, { amounts, ...options }: PadOptions & { readonly amounts: readonly [number, number][] }) =>
    x.pad(amounts, options),
  reshape: ([x]: One, { shape }: { readonly shape: Shape }) => x.reshape(shape),
  expand: ([x]: One, { shape }: { readonly shape: Shape }) => x.expand(shape),
  squeeze: ([x]: One, { axis }: { readonly axis?: number }) => x.squeeze(axis),
  unsqueeze: ([x]: One, { axis }: AtAxis) => x.unsqueeze(axis),
  flatten: ([x]: One, { start, end }: { readonly start?: number; readonly end?: number }) => x.flatten(start, end),
  transpose: ([x]: One, { permutation }: { readonly permutation?: readonly number[] }) => x.transpose(permutation),
  swapAxes: ([x]: One, { a, b }: { readonly a: number; readonly b: number }) => x.swapAxes(a, b),
  flip: ([x]: One, { axes }: { readonly axes: Axes }) => x.flip(axes),
  roll: ([x]: One, { shift, axis }: AtAxis & { readonly shift: number }) => x.roll(shift, axis),
  split: ([x]: One, { sizes, axis }: AtAxis & { readonly sizes: number | readonly number[] }) => x.split(sizes, axis),
  concat: (inputs: Many, { axis }: AtAxis) => concat(inputs, axis),
  stack: (inputs: Many, { axis }: AtAxis) => stack(inputs, axis),

  gather: ([x, indices]: Two, { axis }: AtAxis) => x.gather(indices, axis),
  takeAlongAxis: ([x, indices]: Two, { axis }: AtAxis) => x.takeAlongAxis(indices, axis),
  scatterAdd: ([x, indices, updates]: Three, { axis }: AtAxis) => x.scatterAdd(indices, updates, axis),
  indexPut: ([x, indices, updates]: Three) => x.indexPut(indices, updates),
  oneHot: ([indices]: One, { classes }: { readonly classes: number }) => oneHot(indices, classes),
  embedding: ([weight, ids]: Two) => embedding(weight, ids),

  softmax: ([x]: One, { axis }: { readonly axis?: number }) => x.softmax(axis),
  logSoftmax: ([x]: One, { axis }: { readonly axis?: number }) => x.logSoftmax(axis),
  layerNorm: ([x, weight, bias]: readonly [Tensor, Tensor?, Tensor?], options: Norm) =>
    x.layerNorm({ ...options, weight, bias }),
  rmsNorm: ([x, weight]: readonly [Tensor, Tensor?], { eps }: Norm) => x.rmsNorm({ eps, weight }),
  channelAffine: ([x, scale, shift, plus]: readonly [Tensor, Tensor, Tensor, Tensor?], { axis }: ChannelAxis) =>
    channelAffine(x, scale, shift, { axis, ...(plus && { plus }) }),
  batchNorm: ([x, weight, bias]: Three, { axis, eps }: ChannelAxis & { readonly eps: number }) => {
    const { y, mean, variance } = batchNorm(x, { weight, bias, axis, eps });
    return [y, mean, variance];
  },
  crossEntropy: ([logits, labels]: Two, options: CrossEntropyOptions) => crossEntropy(logits, labels, options),
};

/** Reductions over axes, and scans and sorts along one. Axes default to all; `keepDims` leaves them as 1. */
import { ones, zerosLike } from "./constant.js";
import { stopGradient } from "./control.js";
import { add, div, equal, exp, isFiniteNumber as finite, log, mul, square, sub, where } from "./elementwise.js";
import { fail } from "./errors.js";
import { scatterAdd } from "./indexing.js";
import { NDArray } from "./ndarray.js";
import { formatShape, normalizeAxes, normalizeAxis, sizeOf } from "./shape.js";
import { cast, concat, expand, reshape, slice } from "./shaping.js";
import {
  attachMethods,
  blockedDomain,
  defineOperation,
  defineSingle,
  type Lowering,
  type MethodsOf,
  type Tensor,
} from "./tensor.js";

export type Axes = number | readonly number[];
export interface ReduceOptions {
  readonly keepDims?: boolean;
}

type Reduce = (x: Tensor, axes?: Axes, options?: ReduceOptions) => Tensor;

interface ReduceAttributes {
  readonly axes: readonly number[];
}

const reduced = (x: Tensor, axes: readonly number[]): number[] => x.shape.map((n, i) => (axes.includes(i) ? 1 : n));

interface Reduction {
  readonly onnx: string;
  readonly gradient: (x: Tensor, y: Tensor, g: Tensor, count: number) => Tensor;
  readonly emptyAllowed: boolean;
  /** A better lowering for some inputs; gives false where it does not apply. */
  readonly special?: (lowering: Lowering<ReduceAttributes>) => boolean;
}

/** Reduce keeping the axes; the public functions drop them afterwards with a reshape, which costs nothing. */
function reduction(name: string, { onnx, gradient, emptyAllowed, special }: Reduction): Reduce {
  const make = defineSingle<ReduceAttributes>({
    name,
    infer: ([input], { axes }) => {
      const x = input as Tensor;
      if (x.dtype === "bool") fail("dtype", `${name}: does not accept bool; use any, all or .cast("int32")`);
      if (!emptyAllowed && axes.some((axis) => x.shape[axis] === 0))
        fail(
          "shape",
          `${name}: an axis of ${formatShape(x.shape)} is empty, so there is nothing to take the ${name} of`,
        );
      return { shape: reduced(x, axes), dtype: x.dtype };
    },
    gradient: ({ inputs, outputs, gradient: g, attributes: { axes } }) => {
      const [x, y] = [inputs[0] as Tensor, outputs[0] as Tensor];
      const count = axes.reduce((n, axis) => n * x.dim(axis), 1);
      return [gradient(x, y, g, count)];
    },
    flops: ({ inputs }) => (inputs[0] as Tensor).size,
    lower: (lowering) => {
      if (special?.(lowering)) return;
      const { emit, integers, inputs, attributes } = lowering;
      emit(onnx, [inputs[0] as string, integers(attributes.axes)], { keepdims: 1 });
    },
  });
  return (x, axes, { keepDims = false } = {}) => {
    const list = normalizeAxes(name, axes, x.rank);
    const kept = list.length === 0 ? x : make([x], { axes: list });
    return keepDims
      ? kept
      : reshape(
          kept,
          x.shape.filter((_, i) => !list.includes(i)),
        );
  };
}

const spread = (g: Tensor, x: Tensor): Tensor => expand(g, x.shape);
// Ties share the gradient equally, as torch's amax and amin do.
const share = (x: Tensor, y: Tensor, g: Tensor): Tensor => {
  const hit = cast(equal(x, y), x.dtype);
  const axes = x.shape.flatMap((n, i) => (n !== y.shape[i] ? [i] : []));
  return mul(hit, div(g, sum(hit, axes, { keepDims: true })));
};

/** Sums over leading axes (the gradient of every bias) as a row of ones times a matrix: three times as fast. */
function sumAsProduct({
  emit,
  value,
  constant,
  integers,
  inputs,
  node,
  attributes: { axes },
}: Lowering<ReduceAttributes>): boolean {
  const [x, y] = [node.inputs[0] as Tensor, node.outputs[0] as Tensor];
  const rows = sizeOf(x.shape.slice(0, axes.length));
  const columns = x.size / rows;
  const leading = axes.every((axis, i) => axis === i) && axes.length < x.rank;
  if (!leading || x.dtype !== "float32" || rows < 64 || rows > 65536 || !(columns >= 16)) return false;
  const ones = constant(new NDArray(new Float32Array(rows).fill(1), [1, rows], "float32"));
  const matrix = value("Reshape", [inputs[0] as string, integers([rows, columns])]);
  emit("Reshape", [value("Gemm", [ones, matrix]), integers(y.shape)]);
  return true;
}

/**
 * Of images in blocks of channels: the engine's own pooling over places, which gives a number for each image and channel,
 * and those over images. For the mean, and for the sum, which is as many times the mean.
 */
function pooled(lowering: Lowering<ReduceAttributes>): boolean {
  const {
    emit,
    value,
    scalar,
    integers,
    node,
    attributes: { axes },
  } = lowering;
  const [batch, ...rest] = axes.length === 3 ? axes : [undefined, ...axes];
  const image =
    rest.length === 2 && rest[0] === 2 && rest[1] === 3 && (batch ?? 0) === 0 ? lowering.blocked(0) : undefined;
  if (image === undefined) return false;
  const [x] = node.inputs as [Tensor];
  const isSum = node.operation.name === "sum";
  const each = value("GlobalAveragePool", [image], {}, blockedDomain); // [N, C, 1, 1] is the same in blocks
  const scaled = isSum ? value("Mul", [each, scalar(x.dim(2) * x.dim(3), "float32")]) : each;
  if (batch === undefined) emit("Identity", [scaled]);
  else emit(isSum ? "ReduceSum" : "ReduceMean", [scaled, integers([0])], { keepdims: 1 });
  return true;
}

export const sum = reduction("sum", {
  onnx: "ReduceSum",
  gradient: (x, _, g) => spread(g, x),
  emptyAllowed: true,
  special: (lowering) => pooled(lowering) || sumAsProduct(lowering),
});
export const mean = reduction("mean", {
  onnx: "ReduceMean",
  gradient: (x, _, g, count) => spread(mul(g, 1 / count), x),
  emptyAllowed: false,
  special: pooled,
});
export const max = reduction("max", { onnx: "ReduceMax", gradient: share, emptyAllowed: false });
export const min = reduction("min", { onnx: "ReduceMin", gradient: share, emptyAllowed: false });

/** mean((x - mean x)²); `correction: 1` divides by n - 1. */
export function variance(
  x: Tensor,
  axes?: Axes,
  { keepDims = false, correction = 0 }: ReduceOptions & { readonly correction?: 0 | 1 } = {},
): Tensor {
  const list = normalizeAxes("variance", axes, x.rank);
  const count = list.reduce((n, axis) => n * x.dim(axis), 1);
  const centred = sub(x, mean(x, list, { keepDims: true }));
  if (correction === 0) return mean(square(centred), list, { keepDims });
  if (count < 2) fail("shape", `variance: correction 1 needs at least two elements, got ${count}`);
  return mul(sum(square(centred), list, { keepDims }), 1 / (count - 1));
}

/** log Σ eˣ, without overflow. */
export function logSumExp(x: Tensor, axes?: Axes, { keepDims = false }: ReduceOptions = {}): Tensor {
  const list = normalizeAxes("logSumExp", axes, x.rank);
  const top = stopGradient(max(x, list, { keepDims: true }));
  const shift = where(finite(top), top, 0); // all -∞ stays -∞, not NaN
  const kept = add(log(sum(exp(sub(x, shift)), list, { keepDims: true })), shift);
  return keepDims
    ? kept
    : reshape(
        kept,
        x.shape.filter((_, i) => !list.includes(i)),
      );
}

/**
 * The product over axes, as a tree of products: its gradient is right where factors are zero (where y / x is not), and
 * so is the gradient of the gradient.
 */
export function prod(x: Tensor, axes?: Axes, { keepDims = false }: ReduceOptions = {}): Tensor {
  const list = normalizeAxes("prod", axes, x.rank);
  const kept = list.reduce(prodAxis, x);
  return keepDims
    ? kept
    : reshape(
        kept,
        x.shape.filter((_, i) => !list.includes(i)),
      );
}

function prodAxis(x: Tensor, axis: number): Tensor {
  const n = x.dim(axis);
  if (n === 1) return x;
  if (n === 0) return ones(reduced(x, [axis]), x.dtype);
  const half = Math.floor(n / 2);
  const pairs = mul(slice(x, { axis, end: half }), slice(x, { axis, start: half, end: 2 * half }));
  return prodAxis(n % 2 ? concat([pairs, slice(x, { axis, start: n - 1 })], axis) : pairs, axis);
}

const logical =
  (name: string, reduce: Reduce) =>
  (x: Tensor, axes?: Axes, options: ReduceOptions = {}): Tensor =>
    x.dtype === "bool"
      ? equal(reduce(cast(x, "int32"), axes, options), 1)
      : fail("dtype", `${name}: expected a bool tensor, got ${x.dtype}; compare first, e.g. x.notEqual(0)`);
export const any = logical("any", max);
export const all = logical("all", min);

/** (Σ x²)^½ over axes. */
export const norm = (x: Tensor, axes?: Axes, options: ReduceOptions = {}): Tensor =>
  sum(square(x), axes, options).sqrt();

function arg(name: string, onnx: string) {
  const make = defineSingle<{ readonly axis: number }>({
    name,
    infer: ([input], { axis }) => {
      const x = input as Tensor;
      if (x.dim(axis) === 0) fail("shape", `${name}: axis ${axis} of ${formatShape(x.shape)} is empty`);
      return { shape: reduced(x, [axis]), dtype: "int32" };
    },
    flops: ({ inputs }) => (inputs[0] as Tensor).size,
    lower: ({ emitCast, value, inputs, attributes: { axis } }) =>
      emitCast(value(onnx, inputs, { axis, keepdims: 1 }), "int32"),
  });
  return (x: Tensor, axis = -1, { keepDims = false }: ReduceOptions = {}): Tensor => {
    const at = normalizeAxis(name, axis, x.rank);
    const kept = make([x], { axis: at });
    return keepDims
      ? kept
      : reshape(
          kept,
          x.shape.filter((_, i) => i !== at),
        );
  };
}
/** Position of the largest element (the first of equals), int32. */
export const argmax = arg("argmax", "ArgMax");
export const argmin = arg("argmin", "ArgMin");

export interface CumsumOptions {
  readonly reverse?: boolean;
  readonly exclusive?: boolean;
}
interface CumsumAttributes extends Required<CumsumOptions> {
  readonly axis: number;
}
const makeCumsum: (inputs: readonly Tensor[], attributes: CumsumAttributes) => Tensor = defineSingle<CumsumAttributes>({
  name: "cumsum",
  infer: ([x]) => ({ shape: (x as Tensor).shape, dtype: (x as Tensor).dtype }),
  gradient: ({ gradient, attributes }) => [makeCumsum([gradient], { ...attributes, reverse: !attributes.reverse })],
  lower: ({ emit, constant, inputs, attributes: { axis, reverse, exclusive } }) =>
    emit("CumSum", [inputs[0] as string, constant(axisArray(axis))], {
      reverse: Number(reverse),
      exclusive: Number(exclusive),
    }),
});
/** Running sums along an axis. */
export const cumsum = (x: Tensor, axis: number, { reverse = false, exclusive = false }: CumsumOptions = {}): Tensor =>
  x.size === 0 ? x : makeCumsum([x], { axis: normalizeAxis("cumsum", axis, x.rank), reverse, exclusive });

export interface Sorted {
  readonly values: Tensor;
  /** Where they came from, int32. */
  readonly indices: Tensor;
}
const makeTopK = defineOperation<{ readonly k: number; readonly axis: number; readonly largest: boolean }>({
  name: "topK",
  infer: ([input], { k, axis }) => {
    const x = input as Tensor;
    if (!Number.isInteger(k) || k < 0 || k > x.dim(axis))
      fail(
        "argument",
        `topK: k = ${k} is outside 0..${x.dim(axis)}, the length of axis ${axis} of ${formatShape(x.shape)}`,
      );
    const shape = x.shape.map((n, i) => (i === axis ? k : n));
    return [
      { shape, dtype: x.dtype },
      { shape, dtype: "int32" },
    ];
  },
  gradient: ({ inputs, outputs, gradients: [g], attributes: { axis } }) => [
    g && scatterAdd(zerosLike(inputs[0] as Tensor), outputs[1] as Tensor, g, axis),
  ],
  flops: ({ inputs }) => (inputs[0] as Tensor).size,
  lower: ({ bind, values, cast: convert, integers, inputs, attributes: { k, axis, largest } }) => {
    const [top, where] = values(2, "TopK", [inputs[0] as string, integers([k])], {
      axis,
      largest: Number(largest),
      sorted: 1,
    });
    bind(top as string, convert(where as string, "int32"));
  },
});
/** The k largest (or smallest) along an axis, in order. */
export function topK(
  x: Tensor,
  k: number,
  { axis = -1, largest = true }: { readonly axis?: number; readonly largest?: boolean } = {},
): Sorted {
  const [values, indices] = makeTopK([x], { k, axis: normalizeAxis("topK", axis, x.rank), largest }) as [
    Tensor,
    Tensor,
  ];
  return { values, indices };
}
export const sort = (x: Tensor, axis = -1, { descending = false }: { readonly descending?: boolean } = {}): Sorted =>
  topK(x, x.dim(axis), { axis, largest: descending });

const axisArray = (axis: number): NDArray => NDArray.from(axis, "int64");

const methods = { sum, mean, max, min, variance, logSumExp, prod, any, all, norm, argmax, argmin, cumsum, topK, sort };
declare module "./tensor.js" {
  interface Tensor extends MethodsOf<typeof methods> {}
}
attachMethods(methods);

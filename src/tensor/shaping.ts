/** Moving values about without changing them: reshape, transpose, slice, pad, concat, and casts. */
import { constant, zeros, zerosLike } from "./constant.js";
import { type DType, isFloat } from "./dtype.js";
import { where } from "./elementwise.js";
import { fail } from "./errors.js";
import { gather } from "./indexing.js";
import { NDArray } from "./ndarray.js";
import { sum } from "./reduction.js";
import { broadcastShapes, formatShape, normalizeAxes, normalizeAxis, type Shape, sameShape, sizeOf } from "./shape.js";
import { attachMethods, defineOperation, defineSingle, type MethodsOf, type Tensor } from "./tensor.js";

const free = () => 0; // no arithmetic

const makeCast = defineSingle<{ readonly dtype: DType }>({
  name: "cast",
  infer: ([x], { dtype }) => ({ shape: (x as Tensor).shape, dtype }),
  gradient: ({ inputs, gradient, attributes }) => {
    const { dtype } = inputs[0] as Tensor;
    return [isFloat(dtype) && isFloat(attributes.dtype) ? cast(gradient, dtype) : undefined];
  },
  flops: free,
  lower: ({ emitCast, cast: convert, inputs, node, attributes: { dtype } }) => {
    const [x] = inputs as [string];
    // A float becomes an integer by truncation; going through int32 makes int8 and uint8 agree on all backends.
    const narrow = isFloat((node.inputs[0] as Tensor).dtype) && (dtype === "int8" || dtype === "uint8");
    emitCast(narrow ? convert(x, "int32") : x, dtype);
  },
});
/** The same values as another element type (floats to integers by truncation). */
export const cast = (x: Tensor, dtype: DType): Tensor => (x.dtype === dtype ? x : makeCast([x], { dtype }));

const makeReshape = defineSingle<{ readonly shape: Shape }>({
  name: "reshape",
  infer: ([x], { shape }) => ({ shape, dtype: (x as Tensor).dtype }),
  gradient: ({ inputs, gradient }) => [reshape(gradient, (inputs[0] as Tensor).shape)],
  flops: free,
  lower: ({ emit, integers, inputs, attributes }) =>
    emit("Reshape", [inputs[0] as string, integers(attributes.shape)], { allowzero: 1 }),
});
/** The same values in another shape; one entry may be -1 and is found from the size. */
export function reshape(x: Tensor, shape: Shape): Tensor {
  const known = shape.filter((n) => n !== -1);
  const rest = sizeOf(known);
  const wild = shape.length - known.length;
  const target = shape.map((n) => (n === -1 ? (rest === 0 ? 0 : x.size / rest) : n));
  if (wild > 1 || target.some((n) => !Number.isInteger(n) || n < 0) || sizeOf(target) !== x.size)
    fail("shape", `reshape: ${formatShape(x.shape)} (${x.size} elements) does not fit ${formatShape(shape)}`);
  return sameShape(target, x.shape) ? x : makeReshape([x], { shape: target });
}

/** The only equation that is written as ONNX's Einsum: a transposition of the last two of three axes. */
export const swapsLast = "abc->acb";

const makeTranspose = defineSingle<{ readonly permutation: readonly number[] }>({
  name: "transpose",
  infer: ([x], { permutation }) => ({
    shape: permutation.map((axis) => (x as Tensor).dim(axis)),
    dtype: (x as Tensor).dtype,
  }),
  gradient: ({ gradient, attributes: { permutation } }) => [
    transpose(
      gradient,
      permutation.map((_, axis) => permutation.indexOf(axis)),
    ),
  ],
  flops: free,
  lower: (lowering) => {
    const { emit, value, integers, inputs, node, channelBlock: B, attributes } = lowering;
    const x = node.inputs[0] as Tensor;
    const order = attributes.permutation.join();
    // The engine moves a Transpose behind what follows, and if two things do, does it twice: not with this name.
    if (B !== undefined && order === "0,2,1" && x.size >= 2 ** 16)
      return emit("Einsum", inputs, { equation: swapsLast });
    // Blocks of channels are nearly channels last.
    const image = order === "0,2,3,1" ? lowering.blocked(0) : undefined;
    if (image === undefined || B === undefined) return emit("Transpose", inputs, { perm: attributes.permutation });
    const [N, C, H, W] = x.shape as [number, number, number, number];
    const blocks = value("Reshape", [image, integers([N, C / B, H, W, B])]);
    const ordered = C === B ? blocks : value("Transpose", [blocks], { perm: [0, 2, 3, 1, 4] });
    emit("Reshape", [ordered, integers([N, H, W, C])]);
  },
});
/** Axes in another order; without an argument, reversed. */
export function transpose(x: Tensor, permutation?: readonly number[]): Tensor {
  const order =
    permutation?.map((axis) => normalizeAxis("transpose", axis, x.rank)) ?? x.shape.map((_, i) => x.rank - 1 - i);
  if (order.length !== x.rank || new Set(order).size !== x.rank)
    fail("argument", `transpose: expected a permutation of ${x.rank} axes, got ${formatShape(permutation ?? [])}`);
  return order.every((axis, i) => axis === i) ? x : makeTranspose([x], { permutation: order });
}

export function swapAxes(x: Tensor, a: number, b: number): Tensor {
  const order = x.shape.map((_, i) => i);
  const [i, j] = [normalizeAxis("swapAxes", a, x.rank), normalizeAxis("swapAxes", b, x.rank)];
  [order[i], order[j]] = [j, i];
  return transpose(x, order);
}

const makeExpand = defineSingle<{ readonly shape: Shape }>({
  name: "expand",
  infer: ([x], { shape }) => ({ shape, dtype: (x as Tensor).dtype }),
  gradient: ({ inputs, gradient }) => [sumTo(gradient, (inputs[0] as Tensor).shape)],
  flops: free,
  lower: ({ emit, integers, inputs, attributes }) => emit("Expand", [inputs[0] as string, integers(attributes.shape)]),
});
/** Broadcast to `shape`; -1 keeps an axis. */
export function expand(x: Tensor, shape: Shape): Tensor {
  const target = shape.map((n, i) => (n === -1 ? (x.shape[i - shape.length + x.rank] ?? 1) : n));
  const result = broadcastShapes("expand", x.shape, target);
  if (!sameShape(result, target))
    fail("shape", `expand: ${formatShape(x.shape)} does not stretch to ${formatShape(shape)}`);
  return sameShape(x.shape, target) ? x : makeExpand([x], { shape: target });
}

/** The adjoint of broadcasting: add up over the axes that `shape` stretched along. */
export function sumTo(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.shape, shape)) return x;
  const offset = x.rank - shape.length;
  const axes = x.shape.map((_, i) => i).filter((i) => i < offset || (shape[i - offset] === 1 && x.shape[i] !== 1));
  if (axes.length === 0) return expand(x, shape); // a gradient that was itself left as a scalar
  return reshape(sum(x, axes), shape);
}

export const squeeze = (x: Tensor, axes?: number | readonly number[]): Tensor => {
  const drop =
    axes === undefined ? x.shape.flatMap((n, i) => (n === 1 ? [i] : [])) : normalizeAxes("squeeze", axes, x.rank);
  const wrong = drop.find((axis) => x.shape[axis] !== 1);
  if (wrong !== undefined) fail("shape", `squeeze: axis ${wrong} of ${formatShape(x.shape)} is not 1`);
  return reshape(
    x,
    x.shape.filter((_, i) => !drop.includes(i)),
  );
};

export const unsqueeze = (x: Tensor, axis: number): Tensor => {
  const at = normalizeAxis("unsqueeze", axis, x.rank + 1);
  return reshape(x, [...x.shape.slice(0, at), 1, ...x.shape.slice(at)]);
};

/** Axes start..end (inclusive) as one. */
export const flatten = (x: Tensor, start = 0, end = -1): Tensor => {
  if (x.rank === 0) return reshape(x, [1]);
  const [from, to] = [normalizeAxis("flatten", start, x.rank), normalizeAxis("flatten", end, x.rank)];
  return reshape(x, [...x.shape.slice(0, from), sizeOf(x.shape.slice(from, to + 1)), ...x.shape.slice(to + 1)]);
};

export interface SliceOptions {
  readonly axis?: number;
  readonly start?: number;
  readonly end?: number;
  readonly step?: number;
}

interface SliceAttributes {
  readonly axis: number;
  readonly start: number;
  readonly step: number;
  readonly length: number;
}

const makeSlice = defineSingle<SliceAttributes>({
  name: "slice",
  infer: ([x], { axis, length }) => ({
    shape: (x as Tensor).shape.map((n, i) => (i === axis ? length : n)),
    dtype: (x as Tensor).dtype,
  }),
  gradient: ({ inputs, gradient, attributes: { axis, start, step, length } }) => {
    const n = (inputs[0] as Tensor).dim(axis);
    const forward = step < 0 ? flip(gradient, axis) : gradient;
    const first = step < 0 ? start + (length - 1) * step : start;
    const spread = Math.abs(step) === 1 ? forward : dilate(forward, axis, Math.abs(step));
    return [padAxis(spread, axis, first, n - first - spread.dim(axis))];
  },
  flops: free,
  lower: ({ emit, value, integers, inputs, node, attributes: { axis, start, step, length } }) => {
    const cut = (from: number, to: number, by: number) => [[from], [to], [axis], [by]].map((v) => integers(v));
    const stop = start + length * step;
    // A backward slice that reaches element 0 ends "before the beginning": ONNX wants a number below -n for that.
    const end = stop < 0 ? -(2 ** 31) : stop;
    const [x] = inputs as [string];
    if (step >= -1) return emit("Slice", [x, ...cut(start, end, step)]);
    // The whole axis backwards, then forwards in strides: both at once is wrong on WebGPU (ONNX Runtime 1.30).
    const n = (node.inputs[0] as Tensor).dim(axis);
    const backwards = value("Slice", [x, ...cut(n - 1, -(2 ** 31), -1)]);
    const first = n - 1 - start;
    emit("Slice", [backwards, ...cut(first, first + (length - 1) * -step + 1, -step)]);
  },
});
/** start, start + step, … below `end` along one axis; negative positions count from the end, as in Python. */
export function slice(x: Tensor, { axis = 0, start, end, step = 1 }: SliceOptions): Tensor {
  const at = normalizeAxis("slice", axis, x.rank);
  const n = x.dim(at);
  if (!Number.isInteger(step) || step === 0) fail("argument", `slice: step must be a non-zero integer, got ${step}`);
  const [low, high] = step > 0 ? [0, n] : [-1, n - 1];
  const place = (position: number) => Math.min(high, Math.max(low, position < 0 ? position + n : position));
  const from = start === undefined ? (step > 0 ? 0 : n - 1) : place(start);
  const to = end === undefined ? (step > 0 ? n : -1) : place(end);
  const length = Math.max(0, Math.ceil((to - from) / step));
  if (step === 1 && length === n) return x;
  return makeSlice([x], { axis: at, start: length === 0 ? 0 : from, step: length === 0 ? 1 : step, length });
}

/** x with step - 1 zeros between neighbours along an axis. */
function dilate(x: Tensor, axis: number, step: number): Tensor {
  const n = x.dim(axis);
  if (n <= 1) return x;
  const wide = padAxis(unsqueeze(x, axis + 1), axis + 1, 0, step - 1);
  const merged = reshape(
    wide,
    x.shape.map((m, i) => (i === axis ? m * step : m)),
  );
  return slice(merged, { axis, start: 0, end: (n - 1) * step + 1 });
}

export interface PadOptions {
  readonly mode?: "constant" | "reflect" | "edge";
  readonly value?: number;
}

const makePad = defineSingle<{
  readonly before: readonly number[];
  readonly after: readonly number[];
  readonly value: number;
}>({
  name: "pad",
  infer: ([x], { before, after }) => ({
    shape: (x as Tensor).shape.map((n, i) => n + (before[i] as number) + (after[i] as number)),
    dtype: (x as Tensor).dtype,
  }),
  gradient: ({ inputs, gradient, attributes: { before } }) => {
    const [x] = inputs as [Tensor];
    return [
      x.shape.reduce(
        (g, n, axis) => slice(g, { axis, start: before[axis] as number, end: (before[axis] as number) + n }),
        gradient,
      ),
    ];
  },
  flops: free,
  lower: ({ emit, integers, scalar, inputs, node, attributes: { before, after, value } }) =>
    emit("Pad", [
      inputs[0] as string,
      integers([...before, ...after]),
      scalar(value, (node.inputs[0] as Tensor).dtype),
      // All axes, named: ONNX Runtime (1.30) merges a Pad without them into a MaxPool behind it, whose own padding is
      // not zero but -infinity.
      integers(before.map((_, axis) => axis)),
    ]),
});
/**
 * [before, after] per axis, for the last axes if fewer pairs than axes are given. `reflect` mirrors without repeating
 * the edge, `edge` repeats it.
 */
export function pad(
  x: Tensor,
  amounts: readonly (readonly [number, number])[],
  { mode = "constant", value = 0 }: PadOptions = {},
): Tensor {
  const missing = x.rank - amounts.length;
  if (missing < 0) fail("argument", `pad: ${amounts.length} pairs for a tensor of rank ${x.rank}`);
  const pairs = [...Array.from({ length: missing }, () => [0, 0] as const), ...amounts];
  if (pairs.some(([a, b]) => !(Number.isInteger(a) && Number.isInteger(b) && a >= 0 && b >= 0)))
    fail("argument", "pad: amounts must be non-negative integers; use slice to cut");
  if (pairs.every(([a, b]) => a === 0 && b === 0)) return x;
  if (mode === "constant")
    return makePad([x], { before: pairs.map(([a]) => a), after: pairs.map(([, b]) => b), value });
  // Reflection and edges only repeat values that are there: an index per axis.
  return pairs.reduce(
    (y, [a, b], axis) => (a + b === 0 ? y : gather(y, borderIndices(x.dim(axis), a, b, mode), axis)),
    x,
  );
}

function borderIndices(n: number, before: number, after: number, mode: "reflect" | "edge"): Tensor {
  if (n === 0 || (mode === "reflect" && Math.max(before, after) >= n))
    fail("shape", `pad: reflecting by ${Math.max(before, after)} needs an axis longer than that, got ${n}`);
  const at = (i: number) => (mode === "edge" ? Math.min(n - 1, Math.max(0, i)) : n - 1 - Math.abs(n - 1 - Math.abs(i)));
  return constant(
    NDArray.from(
      Array.from({ length: n + before + after }, (_, i) => at(i - before)),
      "int32",
    ),
  );
}

const padAxis = (x: Tensor, axis: number, before: number, after: number): Tensor =>
  pad(
    x,
    x.shape.map((_, i) => (i === axis ? ([before, after] as const) : ([0, 0] as const))),
  );

const makeConcat = defineSingle<{ readonly axis: number }>({
  name: "concat",
  infer: (inputs, { axis }) => {
    const [first] = inputs as [Tensor];
    for (const x of inputs) {
      if (x.dtype !== first.dtype)
        fail("dtype", `concat: ${first.dtype} and ${x.dtype}; convert one with .cast("${first.dtype}")`);
      if (x.rank !== first.rank || x.shape.some((n, i) => i !== axis && n !== first.shape[i]))
        fail("shape", `concat: ${formatShape(first.shape)} and ${formatShape(x.shape)} differ outside axis ${axis}`);
    }
    const total = inputs.reduce((n, x) => n + x.dim(axis), 0);
    return { shape: first.shape.map((n, i) => (i === axis ? total : n)), dtype: first.dtype };
  },
  gradient: ({ inputs, gradient, attributes: { axis } }) =>
    split(
      gradient,
      inputs.map((x) => x.dim(axis)),
      axis,
    ),
  flops: free,
  lower: ({ emit, inputs, attributes: { axis } }) => emit("Concat", inputs, { axis }),
});
/** One after the other along an existing axis. */
export function concat(tensors: readonly Tensor[], axis = 0): Tensor {
  const [first] = tensors;
  if (first === undefined) return fail("argument", "concat: expected at least one tensor");
  const at = normalizeAxis("concat", axis, first.rank);
  return tensors.length === 1 ? first : makeConcat(tensors, { axis: at });
}

/** Along a new axis. */
export function stack(tensors: readonly Tensor[], axis = 0): Tensor {
  const [first] = tensors;
  if (first === undefined) return fail("argument", "stack: expected at least one tensor");
  const at = normalizeAxis("stack", axis, first.rank + 1);
  return concat(
    tensors.map((x) => unsqueeze(x, at)),
    at,
  );
}

/** WebGPU's Split holds all of its results in buffers of one kernel, of which devices have 8 at least. */
const mostPieces = 6;

const makeSplit = defineOperation<{ readonly axis: number; readonly lengths: readonly number[] }>({
  name: "split",
  infer: ([x], { axis, lengths }) => {
    const { shape, dtype } = x as Tensor;
    return lengths.map((length) => ({ shape: shape.with(axis, length), dtype }));
  },
  gradient: ({ outputs, gradients, attributes: { axis } }) => [
    concat(
      outputs.map((piece, i) => gradients[i] ?? zerosLike(piece)),
      axis,
    ),
  ],
  flops: free,
  lower: ({ bind, value, values, integers, inputs, target, attributes: { axis, lengths } }) => {
    const [x] = inputs as [string];
    if (target !== "webgpu" || lengths.length <= mostPieces)
      return bind(...values(lengths.length, "Split", [x, integers(lengths)], { axis }));
    const ends = lengths.map((_, i) => lengths.slice(0, i + 1).reduce((a, b) => a + b, 0));
    const cut = (end: number, i: number) => [[end - (lengths[i] as number)], [end], [axis]].map(integers);
    bind(...ends.map((end, i) => value("Slice", [x, ...cut(end, i)])));
  },
});

/** Into pieces of one size (the last may be shorter) or of the sizes given. */
export function split(x: Tensor, sizes: number | readonly number[], axis = 0): Tensor[] {
  const at = normalizeAxis("split", axis, x.rank);
  const n = x.dim(at);
  if (typeof sizes === "number" && !(Number.isInteger(sizes) && sizes > 0))
    fail("argument", `split: size must be a positive integer, got ${sizes}`);
  const list =
    typeof sizes === "number"
      ? Array.from({ length: Math.ceil(n / sizes) }, (_, i) => Math.min(sizes, n - i * sizes))
      : sizes;
  const total = list.reduce((a, b) => a + b, 0);
  if (total !== n)
    fail(
      "shape",
      `split: sizes ${formatShape(list)} add up to ${total}, axis ${at} of ${formatShape(x.shape)} has ${n}`,
    );
  return list.length === 1 ? [x] : [...makeSplit([x], { axis: at, lengths: list })];
}

export const flip = (x: Tensor, axes: number | readonly number[]): Tensor =>
  normalizeAxes("flip", axes, x.rank).reduce((y, axis) => (y.dim(axis) < 2 ? y : slice(y, { axis, step: -1 })), x);

/** Shift along an axis; what falls off one end comes back at the other. */
export function roll(x: Tensor, shift: number, axis: number): Tensor {
  const at = normalizeAxis("roll", axis, x.rank);
  const n = x.dim(at);
  const by = n === 0 ? 0 : ((shift % n) + n) % n;
  if (by === 0) return x;
  return concat([slice(x, { axis: at, start: n - by }), slice(x, { axis: at, end: n - by })], at);
}

/** 1 on and below the k-th diagonal of [rows, columns] (bool). */
export function triangle(rows: number, columns: number, k = 0): Tensor {
  const array = NDArray.zeros([rows, columns], "bool");
  for (let i = 0; i < rows; i++) for (let j = 0; j < Math.min(columns, i + k + 1); j++) array.data[i * columns + j] = 1;
  return constant(array);
}

const matrix = (name: string, x: Tensor): [number, number] =>
  x.rank < 2 ? fail("shape", `${name}: expected a matrix, got ${formatShape(x.shape)}`) : [x.dim(-2), x.dim(-1)];
/** The lower triangle of each matrix, up to the k-th diagonal; zero elsewhere. */
export const tril = (x: Tensor, k = 0): Tensor => where(triangle(...matrix("tril", x), k), x, zeros([], x.dtype));
/** The upper triangle of each matrix, from the k-th diagonal. */
export const triu = (x: Tensor, k = 0): Tensor => where(triangle(...matrix("triu", x), k - 1), zeros([], x.dtype), x);

const methods = {
  cast,
  reshape,
  transpose,
  swapAxes,
  expand,
  squeeze,
  unsqueeze,
  flatten,
  slice,
  pad,
  split,
  flip,
  roll,
  tril,
  triu,
};
declare module "./tensor.js" {
  interface Tensor extends MethodsOf<typeof methods> {}
}
attachMethods(methods);

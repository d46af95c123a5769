/** Pooling and resizing over spatial axes, channels first. */
import { constant, ones, zeros } from "./constant.js";
import { convTranspose1d, convTranspose2d, type Padding, type PerAxis, paddingPairs, perAxis } from "./convolution.js";
import { mul } from "./elementwise.js";
import { fail } from "./errors.js";
import { gather, indexAdd } from "./indexing.js";
import { matmul } from "./matrix.js";
import { NDArray } from "./ndarray.js";
import { max } from "./reduction.js";
import { coordinates, flatIndex, formatShape, sizeOf } from "./shape.js";
import { concat, reshape, slice, transpose } from "./shaping.js";
import { attachMethods, defineOperation, defineSingle, type Lowering, type MethodsOf, type Tensor } from "./tensor.js";

export interface PoolOptions {
  readonly kernel: PerAxis;
  /** Default: the kernel, so that windows do not overlap. */
  readonly stride?: PerAxis;
  readonly padding?: Padding;
}

interface Window {
  readonly kernel: readonly number[];
  readonly stride: readonly number[];
  readonly before: readonly number[];
  readonly after: readonly number[];
}

function windowOf(
  name: string,
  x: Tensor,
  axes: number,
  { kernel, stride = kernel, padding = 0 }: PoolOptions,
): Window {
  if (x.rank !== axes + 2)
    fail(
      "shape",
      `${name}: expected a tensor of rank ${axes + 2} (batch, channels first), got ${formatShape(x.shape)}`,
    );
  const [before, after] = paddingPairs(name, padding, axes);
  const size = perAxis(name, "kernel", kernel, axes, 1);
  if (size.some((k, i) => 2 * Math.max(before[i] as number, after[i] as number) > k))
    fail("argument", `${name}: padding must be at most half the kernel ${formatShape(size)}`);
  return { kernel: size, stride: perAxis(name, "stride", stride, axes, 1), before, after };
}

const pooledShape = (x: Tensor, { kernel, stride, before, after }: Window): number[] => [
  ...x.shape.slice(0, 2),
  ...x.shape.slice(2).map((n, i) => {
    const room = n + (before[i] as number) + (after[i] as number) - (kernel[i] as number);
    return room < 0
      ? fail("shape", `pooling: window ${formatShape(kernel)} is larger than the padded input ${formatShape(x.shape)}`)
      : Math.floor(room / (stride[i] as number)) + 1;
  }),
];

const onnxWindow = ({ kernel, stride, before, after }: Window) => ({
  kernel_shape: kernel,
  strides: stride,
  pads: [...before, ...after],
});

/** Where each maximum stands in the flat input, by gathering every window: for engines whose MaxPool does not tell. */
function maximumIndices({
  value,
  constant: keep,
  integers,
  scalar,
  inputs,
  node,
  attributes,
}: Lowering<Window>): string {
  const [x, y] = [node.inputs[0] as Tensor, node.outputs[0] as Tensor];
  const planes = x.dim(0) * x.dim(1);
  const { kernel, before, after } = attributes;
  const padded = x.shape.slice(2).map((n, i) => n + (before[i] as number) + (after[i] as number));
  const [inPadded, inPlane] = windowTables(x, y, attributes, padded);
  const places = sizeOf(y.shape.slice(2));
  const window = sizeOf(kernel);
  const wide = value("Pad", [
    inputs[0] as string,
    integers([0, 0, ...before, 0, 0, ...after]),
    scalar(Number.NEGATIVE_INFINITY, x.dtype),
  ]);
  const flat = value("Reshape", [wide, integers([planes, sizeOf(padded)])]);
  const windows = value("Gather", [flat, keep(NDArray.from(inPadded, "int64", [places, window]))], { axis: 1 });
  const best = value("ArgMax", [windows], { axis: 2, keepdims: 0 }); // [planes, places]
  const position = value("Add", [best, integers(Array.from({ length: places }, (_, p) => p * window))]);
  const inside = value("Gather", [keep(NDArray.from(inPlane, "int64")), position], { axis: 0 });
  const planeStart = NDArray.from(
    Array.from({ length: planes }, (_, p) => p * sizeOf(x.shape.slice(2))),
    "int64",
    [planes, 1],
  );
  return value("Reshape", [value("Add", [inside, keep(planeStart)]), integers(y.shape)]);
}

/** For each output place and kernel place: the position in the padded plane, and in the plane itself. */
function windowTables(
  x: Tensor,
  y: Tensor,
  { kernel, stride, before }: Window,
  padded: readonly number[],
): [number[], number[]] {
  const outputs = y.shape.slice(2);
  const inner = x.shape.slice(2);
  const [first, second]: [number[], number[]] = [[], []];
  for (let o = 0; o < sizeOf(outputs); o++)
    for (let k = 0; k < sizeOf(kernel); k++) {
      const place = coordinates(o, outputs).map(
        (p, i) => p * (stride[i] as number) + (coordinates(k, kernel)[i] as number),
      );
      first.push(flatIndex(place, padded));
      second.push(
        Math.max(
          0,
          flatIndex(
            place.map((p, i) => p - (before[i] as number)),
            inner,
          ),
        ),
      );
    }
  return [first, second];
}

const makeMaxPool = defineOperation<Window>({
  name: "maxPool",
  infer: ([x], window) => {
    const shape = pooledShape(x as Tensor, window);
    return [
      { shape, dtype: (x as Tensor).dtype },
      { shape, dtype: "int64" },
    ];
  },
  // The engine says where each maximum stood (the first of equals); the gradient goes there.
  gradient: ({ inputs, outputs, gradients: [g] }) => {
    const [x] = inputs as [Tensor];
    const where = outputs[1] as Tensor;
    return [
      g && reshape(indexAdd(zeros([x.size], x.dtype), reshape(where, [where.size]), reshape(g, [g.size])), x.shape),
    ];
  },
  flops: ({ outputs, attributes }) => (outputs[0] as Tensor).size * sizeOf((attributes as Window).kernel),
  lower: (lowering) => {
    const { bind, value, values, inputs, attributes, target, isUsed } = lowering;
    if (!isUsed(1)) return bind(value("MaxPool", inputs, onnxWindow(attributes)));
    if (target !== "webgpu") return bind(...values(2, "MaxPool", inputs, onnxWindow(attributes)));
    bind(value("MaxPool", inputs, onnxWindow(attributes)), maximumIndices(lowering));
  },
});

const makeAveragePool = defineSingle<Window & { readonly countIncludePad: boolean }>({
  name: "averagePool",
  infer: ([x], window) => ({ shape: pooledShape(x as Tensor, window), dtype: (x as Tensor).dtype }),
  gradient: ({ inputs, gradient, attributes }) => [averageGradient(inputs[0] as Tensor, gradient, attributes)],
  flops: ({ outputs, attributes }) => (outputs[0] as Tensor).size * sizeOf((attributes as Window).kernel),
  lower: ({ emit, inputs, attributes }) =>
    emit("AveragePool", inputs, { ...onnxWindow(attributes), count_include_pad: Number(attributes.countIncludePad) }),
});

/** Each window gives its share back to its places: a transposed convolution with ones. */
function averageGradient(
  x: Tensor,
  g: Tensor,
  { kernel, stride, before, after, countIncludePad }: Window & { readonly countIncludePad: boolean },
): Tensor {
  const counts = x.shape.slice(2).map((n, i) =>
    Array.from({ length: g.dim(i + 2) }, (_, o) => {
      const start = o * (stride[i] as number) - (before[i] as number);
      return countIncludePad ? (kernel[i] as number) : Math.min(n, start + (kernel[i] as number)) - Math.max(0, start);
    }),
  );
  const [rows, columns] = counts.length === 1 ? [[1], counts[0] as number[]] : (counts as [number[], number[]]);
  const shares = rows.flatMap((r) => columns.map((c) => 1 / (r * c)));
  const weighted = mul(g, constant(NDArray.from(shares, x.dtype, g.shape.slice(2))));
  const single = reshape(weighted, [g.dim(0) * g.dim(1), 1, ...g.shape.slice(2)]);
  const outputPadding = x.shape
    .slice(2)
    .map(
      (n, i) =>
        n -
        ((g.dim(i + 2) - 1) * (stride[i] as number) +
          (kernel[i] as number) -
          (before[i] as number) -
          (after[i] as number)),
    );
  const spread = counts.length === 1 ? convTranspose1d : convTranspose2d;
  const padding = before.map((b, i) => [b, after[i] as number] as const);
  // A stride that leaves places uncovered is padded behind rather than by outputPadding, which may not reach so far.
  const small = outputPadding.every((n, i) => n < (stride[i] as number));
  const full = spread(single, ones([1, 1, ...kernel], x.dtype), {
    stride,
    padding,
    outputPadding: small ? outputPadding : 0,
  });
  return reshape(full, x.shape);
}

const maxPool =
  (name: string, axes: number) =>
  (x: Tensor, options: PoolOptions): Tensor =>
    makeMaxPool([x], windowOf(name, x, axes, options))[0] as Tensor;
export const maxPool1d = maxPool("maxPool1d", 1);
export const maxPool2d = maxPool("maxPool2d", 2);

export interface AveragePoolOptions extends PoolOptions {
  /** Whether padded zeros count in the divisor (default true, as in torch). */
  readonly countIncludePad?: boolean;
}
const averagePool =
  (name: string, axes: number) =>
  (x: Tensor, { countIncludePad = true, ...options }: AveragePoolOptions): Tensor => {
    if (x.dtype !== "float32" && x.dtype !== "float16")
      fail("dtype", `${name}: no engine averages ${x.dtype}; convert with .cast("float32")`);
    return makeAveragePool([x], { ...windowOf(name, x, axes, options), countIncludePad });
  };
export const averagePool1d = averagePool("averagePool1d", 1);
export const averagePool2d = averagePool("averagePool2d", 2);

/** Along one axis, out[i] covers ⌊i n / m⌋ .. ⌈(i + 1) n / m⌉. */
const span = (i: number, n: number, m: number): [number, number] => [
  Math.floor((i * n) / m),
  Math.ceil(((i + 1) * n) / m),
];

/** y = M x along an axis, M [m, n]. Averages and resizing are linear and separable, so each axis is one product. */
function alongAxis(x: Tensor, matrix: NDArray, axis: number): Tensor {
  const order = [...x.shape.keys()].filter((i) => i !== axis).concat(axis);
  const moved = matmul(transpose(x, order), transpose(constant(matrix.cast(x.dtype))));
  return transpose(
    moved,
    [...x.shape.keys()].map((i) => order.indexOf(i)),
  );
}

function matrixOf(m: number, n: number, row: (i: number) => Iterable<readonly [number, number]>): NDArray {
  const matrix = NDArray.zeros([m, n], "float64");
  const data = matrix.data as Float64Array;
  for (let i = 0; i < m; i++) for (const [j, weight] of row(i)) data[i * n + j] = (data[i * n + j] as number) + weight;
  return matrix;
}

const spatialAxes = (name: string, x: Tensor, axes: number): number[] =>
  x.rank === axes + 2
    ? Array.from({ length: axes }, (_, i) => i + 2)
    : fail(
        "shape",
        `${name}: expected a tensor of rank ${axes + 2} (batch, channels first), got ${formatShape(x.shape)}`,
      );

const adaptiveAverage =
  (name: string, axes: number) =>
  (x: Tensor, outputSize: PerAxis): Tensor => {
    const sizes = perAxis(name, "outputSize", outputSize, axes, 1);
    return spatialAxes(name, x, axes).reduce((y, axis, i) => {
      const [m, n] = [sizes[i] as number, x.dim(axis)];
      if (m === n) return y;
      const share = function* (o: number): Iterable<readonly [number, number]> {
        const [start, end] = span(o, n, m);
        for (let j = start; j < end; j++) yield [j, 1 / (end - start)];
      };
      return alongAxis(y, matrixOf(m, n, share), axis);
    }, x);
  };
/** Averages over m nearly equal, possibly overlapping spans, as torch. */
export const adaptiveAveragePool1d = adaptiveAverage("adaptiveAveragePool1d", 1);
export const adaptiveAveragePool2d = adaptiveAverage("adaptiveAveragePool2d", 2);

const adaptiveMax =
  (name: string, axes: number) =>
  (x: Tensor, outputSize: PerAxis): Tensor => {
    const sizes = perAxis(name, "outputSize", outputSize, axes, 1);
    return spatialAxes(name, x, axes).reduce((y, axis, i) => {
      const [m, n] = [sizes[i] as number, x.dim(axis)];
      if (m === n) return y;
      const cell = (o: number) => {
        const [start, end] = span(o, n, m);
        return max(slice(y, { axis, start, end }), axis, { keepDims: true });
      };
      return concat(
        Array.from({ length: m }, (_, o) => cell(o)),
        axis,
      );
    }, x);
  };
export const adaptiveMaxPool1d = adaptiveMax("adaptiveMaxPool1d", 1);
export const adaptiveMaxPool2d = adaptiveMax("adaptiveMaxPool2d", 2);

export interface ResizeOptions {
  /** Output height and width. */
  readonly size: readonly [number, number];
  readonly mode?: "nearest" | "bilinear" | "bicubic";
  /** Let the corner pixels' centres coincide (not for nearest). */
  readonly alignCorners?: boolean;
}

/** x [N, C, H, W] to another height and width, with torch's conventions (no antialiasing). */
export function resize(x: Tensor, { size, mode = "nearest", alignCorners = false }: ResizeOptions): Tensor {
  if (mode === "nearest" && alignCorners) fail("argument", "resize: alignCorners has no meaning for nearest");
  const sizes = perAxis("resize", "size", size, 2, 1);
  return spatialAxes("resize", x, 2).reduce((y, axis, i) => {
    const [m, n] = [sizes[i] as number, x.dim(axis)];
    if (n === 0) fail("shape", `resize: axis ${axis} of ${formatShape(x.shape)} is empty`);
    if (m === n) return y;
    if (mode === "nearest")
      return gather(
        y,
        constant(
          NDArray.from(
            Array.from({ length: m }, (_, o) => Math.min(n - 1, Math.floor((o * n) / m))),
            "int32",
          ),
        ),
        axis,
      );
    const source = (o: number) => (alignCorners ? (m > 1 ? (o * (n - 1)) / (m - 1) : 0) : ((o + 0.5) * n) / m - 0.5);
    const taps = mode === "bilinear" ? linearTaps : cubicTaps;
    return alongAxis(
      y,
      matrixOf(m, n, (o) => taps(source(o), n)),
      axis,
    );
  }, x);
}

function linearTaps(position: number, n: number): [number, number][] {
  const p = Math.max(0, position);
  const low = Math.min(n - 1, Math.floor(p));
  return [
    [low, 1 - (p - low)],
    [Math.min(n - 1, low + 1), p - low],
  ];
}

/** Cubic convolution with a = -0.75 (Cubic Convolution Interpolation, 1981). */
export function cubicTaps(position: number, n: number): [number, number][] {
  const a = -0.75;
  const near = (d: number) => ((a + 2) * d - (a + 3)) * d * d + 1;
  const far = (d: number) => ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
  const low = Math.floor(position);
  const t = position - low;
  return [far(t + 1), near(t), near(1 - t), far(2 - t)].map((w, i) => [Math.min(n - 1, Math.max(0, low - 1 + i)), w]);
}

const methods = {
  maxPool1d,
  maxPool2d,
  averagePool1d,
  averagePool2d,
  adaptiveAveragePool1d,
  adaptiveAveragePool2d,
  adaptiveMaxPool1d,
  adaptiveMaxPool2d,
  resize,
};
declare module "./tensor.js" {
  interface Tensor extends MethodsOf<typeof methods> {}
}
attachMethods(methods);

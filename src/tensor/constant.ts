/** Leaves: constants and program inputs, and the functions that make tensors from nothing. */
import type { DType, TypedArray } from "./dtype.js";
import { fail } from "./errors.js";
import { NDArray, type Nested } from "./ndarray.js";
import { formatShape, type Shape, sizeOf } from "./shape.js";
import { defineSingle, type OutputSpec, Tensor } from "./tensor.js";

export type TensorLike = Tensor | number;

export interface ConstantAttributes {
  readonly array: NDArray;
}

const makeConstant = defineSingle<ConstantAttributes>({
  name: "constant",
  infer: (_, { array }) => array,
  flops: () => 0,
  lower: () => fail("trace", "constant: leaves are bound by the program, not lowered"),
});

export interface InputAttributes extends OutputSpec {
  readonly name: string;
}

/** A value fed at every run. Made by `compile`; programs find it by name. */
export const input = defineSingle<InputAttributes>({
  name: "input",
  infer: (_, { shape, dtype }) => ({ shape, dtype }),
  flops: () => 0,
  lower: () => fail("trace", "input: leaves are bound by the program, not lowered"),
});

export const constant = (array: NDArray): Tensor => makeConstant([], { array });

/** A tensor from numbers, nested arrays, a typed array or an NDArray. */
export function tensor(
  values: Nested | NDArray | TypedArray,
  options: { readonly dtype?: DType; readonly shape?: Shape } = {},
): Tensor {
  if (values instanceof NDArray) return constant(options.dtype ? values.cast(options.dtype) : values);
  if (values instanceof Float64Array) return constant(NDArray.from(values, options.dtype ?? "float64", options.shape));
  if (values instanceof Int32Array) return constant(NDArray.from(values, options.dtype ?? "int32", options.shape));
  if (values instanceof BigInt64Array)
    return constant(new NDArray(values, options.shape ?? [values.length], "int64").cast(options.dtype ?? "int64"));
  return constant(NDArray.from(values as Nested, options.dtype ?? "float32", options.shape));
}

export const full = (shape: Shape, value: number, dtype: DType = "float32"): Tensor => {
  if (shape.some((n) => !Number.isInteger(n) || n < 0))
    fail("shape", `full: expected a shape of non-negative integers, got ${formatShape(shape)}`);
  const scalar = constant(NDArray.from(value, dtype));
  return shape.length === 0 ? scalar : expandConstant(scalar, shape);
};

export const zeros = (shape: Shape, dtype: DType = "float32"): Tensor => full(shape, 0, dtype);
export const ones = (shape: Shape, dtype: DType = "float32"): Tensor => full(shape, 1, dtype);

/** One value at every place: kept as a scalar, so that a zeros([10000, 10000]) costs nothing to make or to save. */
const expandConstant = (() => {
  const make = defineSingle<{ readonly shape: Shape }>({
    name: "fill",
    infer: ([value], { shape }) => ({ shape, dtype: (value as Tensor).dtype }),
    flops: () => 0,
    lower: ({ emit, inputs, integers, attributes }) =>
      emit("Expand", [inputs[0] as string, integers(attributes.shape)]),
  });
  return (value: Tensor, shape: Shape) => make([value], { shape });
})();

/** start, start + step, … below `stop`; `arange(n)` counts 0..n-1. */
export function arange(stop: number, dtype?: DType): Tensor;
export function arange(start: number, stop: number, step?: number, dtype?: DType): Tensor;
export function arange(first: number, second?: number | DType, step = 1, dtype?: DType): Tensor {
  const [start, stop] = typeof second === "number" ? [first, second] : [0, first];
  const type = dtype ?? (typeof second === "string" ? second : "int32");
  if (step === 0) fail("argument", "arange: step must not be 0");
  const length = Math.max(0, Math.ceil((stop - start) / step));
  return constant(
    NDArray.from(
      Float64Array.from({ length }, (_, i) => start + i * step),
      type,
      [length],
    ),
  );
}

/** The identity matrix [n, n]. */
export function eye(n: number, dtype: DType = "float32"): Tensor {
  const array = NDArray.zeros([n, n], "float64");
  for (let i = 0; i < n; i++) array.data[i * (n + 1)] = 1;
  return constant(array.cast(dtype));
}

/** A number becomes a constant of `like`'s dtype; a tensor stays. */
export const asTensor = (value: TensorLike, like: Tensor): Tensor =>
  value instanceof Tensor ? value : constant(NDArray.from(value, like.dtype));

export const zerosLike = (x: Tensor): Tensor => zeros(x.shape, x.dtype);
export const onesLike = (x: Tensor): Tensor => ones(x.shape, x.dtype);

/** The number a scalar constant holds, if the tensor is one (through `fill` too). */
export function constantValue(x: Tensor): number | undefined {
  const { node } = x;
  if (node.operation.name === "fill") return constantValue(node.inputs[0] as Tensor);
  if (node.operation.name !== "constant") return undefined;
  const { array } = node.attributes as ConstantAttributes;
  return sizeOf(array.shape) === 1 ? array.at(0) : undefined;
}

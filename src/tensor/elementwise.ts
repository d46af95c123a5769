/** Elementwise operations: one scalar function, one derivative, one ONNX node each. NumPy broadcasting. */
import { asTensor, full, type TensorLike } from "./constant.js";
import { atanDouble, erfDouble, geluDouble, geluTanhDouble, isDouble, softplusDouble } from "./double.js";
import { type DType, isFloat } from "./dtype.js";
import { fail } from "./errors.js";
import { broadcastShapes, type Shape } from "./shape.js";
import { sumTo } from "./shaping.js";
import {
  attachMethods,
  defineSingle,
  type GradientContext,
  type Lowering,
  type MethodsOf,
  type Tensor,
} from "./tensor.js";

type None = Record<string, never>;
const none: None = {};

interface Unary {
  readonly onnx: string | ((lowering: Lowering<None>) => void);
  readonly scalar: (x: number) => number;
  /** d(loss)/dx from x, y = f(x) and g = d(loss)/dy; absent where the derivative is zero or undefined. */
  readonly gradient?: (x: Tensor, y: Tensor, g: Tensor) => Tensor | undefined;
  readonly accepts?: (dtype: DType) => boolean;
}

function unary(name: string, { onnx, scalar, gradient, accepts = isFloat }: Unary): (x: Tensor) => Tensor {
  const make = defineSingle<None>({
    name,
    scalar,
    infer: ([x]) => {
      const { dtype, shape } = x as Tensor;
      if (!accepts(dtype)) fail("dtype", `${name}: does not accept ${dtype}; convert it with .cast("float32")`);
      return { shape, dtype };
    },
    ...(gradient && {
      gradient: ({ inputs, outputs, gradient: g }: GradientContext<None>) => [
        gradient(inputs[0] as Tensor, outputs[0] as Tensor, g),
      ],
    }),
    lower: typeof onnx === "string" ? ({ emit, inputs }) => emit(onnx, inputs) : onnx,
  });
  return (x) => make([x], none);
}

const everyType = () => true;
const notBool = (dtype: DType) => dtype !== "bool";
const flat = () => undefined; // derivative zero almost everywhere

export const neg = unary("neg", { onnx: "Neg", scalar: (x) => -x, gradient: (_, __, g) => neg(g), accepts: notBool });
export const abs = unary("abs", {
  onnx: "Abs",
  scalar: Math.abs,
  gradient: (x, _, g) => mul(g, sign(x)),
  accepts: notBool,
});
export const sign = unary("sign", {
  // WebGPU has no kernel for it, and would bring the tensor to the host: there it is (x > 0) - (x < 0).
  onnx: ({ emit, value, cast: convert, scalar, inputs, node, target }) => {
    const { dtype } = node.inputs[0] as Tensor;
    if (target !== "webgpu") return emit("Sign", inputs);
    const [x, zero] = [inputs[0] as string, scalar(0, dtype)];
    emit("Sub", [convert(value("Greater", [x, zero]), dtype), convert(value("Less", [x, zero]), dtype)]);
  },
  scalar: Math.sign,
  gradient: flat,
  accepts: notBool,
});
export const exp = unary("exp", { onnx: "Exp", scalar: Math.exp, gradient: (_, y, g) => mul(g, y) });
export const log = unary("log", { onnx: "Log", scalar: Math.log, gradient: (x, _, g) => div(g, x) });
export const sqrt = unary("sqrt", {
  onnx: "Sqrt",
  scalar: Math.sqrt,
  gradient: (_, y, g) => div(mul(g, 0.5), y),
});
/** 1 / √x */
export const rsqrt = unary("rsqrt", {
  onnx: ({ emit, value, inputs }) => emit("Reciprocal", [value("Sqrt", inputs)]),
  scalar: (x) => 1 / Math.sqrt(x),
  gradient: (x, y, g) => mul(mul(g, -0.5), div(y, x)),
});
export const reciprocal = unary("reciprocal", {
  onnx: "Reciprocal",
  scalar: (x) => 1 / x,
  gradient: (_, y, g) => neg(mul(g, mul(y, y))),
});
export const tanh = unary("tanh", {
  onnx: "Tanh",
  scalar: Math.tanh,
  gradient: (_, y, g) => mul(g, sub(1, mul(y, y))),
});
export const sigmoid = unary("sigmoid", {
  onnx: "Sigmoid",
  scalar: (x) => 1 / (1 + Math.exp(-x)),
  gradient: (_, y, g) => mul(g, mul(y, sub(1, y))),
});
/** log(1 + eˣ), without overflow. */
export const softplus = unary("softplus", {
  onnx: (lowering) => (isDouble(lowering) ? softplusDouble(lowering) : lowering.emit("Softplus", lowering.inputs)),
  scalar: (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))),
  gradient: (x, _, g) => mul(g, sigmoid(x)),
});
export const sin = unary("sin", { onnx: "Sin", scalar: Math.sin, gradient: (x, _, g) => mul(g, cos(x)) });
export const cos = unary("cos", { onnx: "Cos", scalar: Math.cos, gradient: (x, _, g) => neg(mul(g, sin(x))) });
export const atan = unary("atan", {
  onnx: (lowering) => (isDouble(lowering) ? atanDouble(lowering) : lowering.emit("Atan", lowering.inputs)),
  scalar: Math.atan,
  gradient: (x, _, g) => div(g, add(mul(x, x), 1)),
});
export const erf = unary("erf", {
  onnx: (lowering) =>
    isDouble(lowering)
      ? lowering.bind(erfDouble(lowering, lowering.inputs[0] as string))
      : lowering.emit("Erf", lowering.inputs),
  scalar: erfScalar,
  gradient: (x, _, g) => mul(g, mul(exp(neg(mul(x, x))), 2 / Math.sqrt(Math.PI))),
});
/** To the nearest integer, ties to even. */
export const round = unary("round", { onnx: "Round", scalar: roundHalfEven, gradient: flat });
export const floor = unary("floor", { onnx: "Floor", scalar: Math.floor, gradient: flat });
export const ceil = unary("ceil", { onnx: "Ceil", scalar: Math.ceil, gradient: flat });
export const relu = unary("relu", {
  onnx: "Relu",
  scalar: (x) => Math.max(x, 0),
  // A product, since choosing takes the engine three passes.
  gradient: (_, y, g) => mul(g, positive(y)),
});
const largestSingle = 3.4028234663852886e38;
/** 1 where x > 0, else 0. (Of numbers so small that float32 keeps them with fewer digits, below 3e-39, between the two.) */
const positive = unary("positive", {
  onnx: ({ emit, emitCast, value, scalar, inputs, node, target }) => {
    const { dtype } = node.inputs[0] as Tensor;
    // min(1, max(0, x · largestSingle)) is one pass on all threads; a truth value becomes a number on one.
    if (dtype === "float32" && target !== "webgpu")
      return emit("HardSigmoid", inputs, { alpha: { float: largestSingle }, beta: { float: 0 } });
    emitCast(value("Greater", [inputs[0] as string, scalar(0, dtype)]), dtype);
  },
  scalar: (x) => (x > 0 ? 1 : 0),
  gradient: flat,
});
export const not = unary("not", { onnx: "Not", scalar: (x) => (x ? 0 : 1), accepts: (d) => d === "bool" });
export const identity = unary("identity", {
  onnx: "Identity",
  scalar: (x) => x,
  gradient: (_, __, g) => g,
  accepts: everyType,
});

const isNaNFloat = defineSingle<None>({
  name: "isNaN",
  scalar: (x) => (Number.isNaN(x) ? 1 : 0),
  infer: ([x]) => ({ shape: (x as Tensor).shape, dtype: "bool" }),
  lower: ({ emit, inputs }) => emit("IsNaN", inputs),
});
/** Where x is not a number (bool). */
export const isNotANumber = (x: Tensor): Tensor => isNaNFloat([requireFloat("isNaN", x)], none);
/** Where x is neither infinite nor NaN (bool): x - x is 0 only there. */
export const isFiniteNumber = (x: Tensor): Tensor => equal(sub(requireFloat("isFinite", x), x), 0);

function requireFloat(name: string, x: Tensor): Tensor {
  return isFloat(x.dtype) ? x : fail("dtype", `${name}: expected a float tensor, got ${x.dtype}`);
}

export type GeluOptions = { readonly approximate?: "none" | "tanh" };

const geluExact = unary("gelu", {
  onnx: (lowering) =>
    isDouble(lowering) ? geluDouble(lowering) : lowering.emit("Gelu", lowering.inputs, { approximate: "none" }),
  scalar: (x) => 0.5 * x * (1 + erfScalar(x / Math.SQRT2)),
  // Φ(x) + x φ(x) = (1 + erf s + s · 2/√π e^(-s²)) / 2 with s = x / √2; the factor goes into the exponent.
  gradient: (x, _, g) => {
    const s = mul(x, Math.SQRT1_2);
    const density = mul(s, exp(sub(Math.log(2 / Math.sqrt(Math.PI)), mul(s, s))));
    return mul(mul(g, 0.5), add(add(erf(s), density), 1));
  },
});
const geluTanh = unary("geluTanh", {
  onnx: (lowering) =>
    isDouble(lowering) ? geluTanhDouble(lowering) : lowering.emit("Gelu", lowering.inputs, { approximate: "tanh" }),
  scalar: (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  gradient: (x, _, g) => {
    const c = Math.sqrt(2 / Math.PI);
    const square = mul(x, x);
    const t = tanh(mul(x, add(mul(square, c * 0.044715), c)));
    const slope = add(mul(square, 3 * c * 0.044715), c); // d(inner)/dx
    const right = mul(mul(x, sub(1, mul(t, t))), slope);
    return mul(g, mul(add(add(t, 1), right), 0.5));
  },
});
/** x Φ(x) (Gaussian Error Linear Units, 2016); `approximate: "tanh"` is GPT-2's form. */
export const gelu = (x: Tensor, { approximate = "none" }: GeluOptions = {}): Tensor =>
  approximate === "tanh" ? geluTanh(x) : geluExact(x);
/** x sigmoid(x) */
export const silu = unary("silu", {
  onnx: ({ emit, value, inputs }) => emit("Mul", [inputs[0] as string, value("Sigmoid", inputs)]),
  scalar: (x) => x / (1 + Math.exp(-x)),
  gradient: (x, y, g) => {
    const s = sigmoid(x);
    return mul(g, add(s, mul(y, sub(1, s))));
  },
});

/** One dtype for both operands; a number takes the tensor's. */
function pair(name: string, a: TensorLike, b: TensorLike): [Tensor, Tensor] {
  if (typeof a === "number" && typeof b === "number")
    return fail("argument", `${name}: expected at least one tensor, got two numbers`);
  const x = typeof a === "number" ? asTensor(a, b as Tensor) : a;
  const y = asTensor(b, x);
  if (x.dtype !== y.dtype)
    fail("dtype", `${name}: operands are ${x.dtype} and ${y.dtype}; convert one with .cast("${x.dtype}")`);
  return [x, y];
}

interface Binary {
  readonly onnx: string | ((lowering: Lowering<None>) => void);
  readonly scalar: (a: number, b: number) => number;
  readonly gradient?: (a: Tensor, b: Tensor, g: Tensor, y: Tensor) => readonly [() => Tensor, () => Tensor];
  readonly result?: DType;
  readonly accepts?: (dtype: DType) => boolean;
}

function binary(
  name: string,
  { onnx, scalar, gradient, result, accepts = notBool }: Binary,
): (a: TensorLike, b: TensorLike) => Tensor {
  const make = defineSingle<None>({
    name,
    scalar,
    infer: ([a, b]) => {
      const [x, y] = [a as Tensor, b as Tensor];
      if (!accepts(x.dtype)) fail("dtype", `${name}: does not accept ${x.dtype}`);
      return { shape: broadcastShapes(name, x.shape, y.shape), dtype: result ?? x.dtype };
    },
    ...(gradient && {
      gradient: ({ inputs, outputs, gradient: g, needs }: GradientContext<None>) => {
        const [a, b] = inputs as [Tensor, Tensor];
        const sides = gradient(a, b, g, outputs[0] as Tensor);
        return [needs(0) ? sumTo(sides[0](), a.shape) : undefined, needs(1) ? sumTo(sides[1](), b.shape) : undefined];
      },
    }),
    lower: typeof onnx === "string" ? ({ emit, inputs }) => emit(onnx, inputs) : onnx,
  });
  return (a, b) => make(pair(name, a, b), none);
}

export const add = binary("add", { onnx: "Add", scalar: (a, b) => a + b, gradient: (_, __, g) => [() => g, () => g] });
export const sub = binary("sub", {
  onnx: "Sub",
  scalar: (a, b) => a - b,
  gradient: (_, __, g) => [() => g, () => neg(g)],
});
export const mul = binary("mul", {
  onnx: "Mul",
  scalar: (a, b) => a * b,
  gradient: (a, b, g) => [() => mul(g, b), () => mul(g, a)],
});
export const div = binary("div", {
  onnx: "Div",
  scalar: (a, b) => a / b,
  gradient: (_, b, g, y) => [() => div(g, b), () => neg(mul(g, div(y, b)))],
});
/** aᵇ; the derivative to b takes log a = 0 at a = 0, so that 0ᵇ does not give NaN. */
export const pow = binary("pow", {
  onnx: "Pow",
  scalar: (a, b) => a ** b,
  gradient: (a, b, g, y) => [
    () => mul(g, where(equal(b, 0), 0, mul(b, pow(a, sub(b, 1))))),
    () => mul(g, mul(y, log(where(greater(a, 0), a, 1)))),
  ],
});
// At a tie the gradient is split in halves, as torch does.
const halves = (wins: (a: Tensor, b: Tensor) => Tensor) => (a: Tensor, b: Tensor, g: Tensor) => {
  const share = (first: Tensor, second: Tensor) => where(equal(a, b), mul(g, 0.5), where(wins(first, second), g, 0));
  return [() => share(a, b), () => share(b, a)] as const;
};
export const maximum = binary("maximum", { onnx: "Max", scalar: Math.max, gradient: halves((a, b) => greater(a, b)) });
export const minimum = binary("minimum", { onnx: "Min", scalar: Math.min, gradient: halves((a, b) => less(a, b)) });
/** a - b⌊a / b⌋: the sign of the divisor, as in Python. */
export const mod = binary("mod", {
  scalar: (a, b) => a - b * Math.floor(a / b),
  onnx: ({ emit, value, inputs, node }) => {
    const [a, b] = inputs as [string, string];
    if (!isFloat((node.inputs[0] as Tensor).dtype)) return emit("Mod", [a, b], { fmod: 0 });
    emit("Sub", [a, value("Mul", [b, value("Floor", [value("Div", [a, b])])])]);
  },
  gradient: (a, b, g) => [() => g, () => neg(mul(g, floor(div(a, b))))],
});

const compare = (
  name: string,
  onnx: Binary["onnx"],
  scalar: Binary["scalar"],
  accepts: (dtype: DType) => boolean = notBool,
): ((a: TensorLike, b: TensorLike) => Tensor) => binary(name, { onnx, scalar, result: "bool", accepts });
export const equal = compare("equal", "Equal", (a, b) => Number(a === b), everyType);
export const notEqual = compare(
  "notEqual",
  ({ emit, value, inputs }) => emit("Not", [value("Equal", inputs)]),
  (a, b) => Number(a !== b),
  everyType,
);
export const less = compare("less", "Less", (a, b) => Number(a < b));
export const lessEqual = compare("lessEqual", "LessOrEqual", (a, b) => Number(a <= b));
export const greater = compare("greater", "Greater", (a, b) => Number(a > b));
export const greaterEqual = compare("greaterEqual", "GreaterOrEqual", (a, b) => Number(a >= b));
const boolean = (dtype: DType) => dtype === "bool";
export const and = compare("and", "And", (a, b) => Number(a && b), boolean);
export const or = compare("or", "Or", (a, b) => Number(a || b), boolean);
export const xor = compare("xor", "Xor", (a, b) => Number(a !== b), boolean);

const makeWhere = defineSingle<None>({
  name: "where",
  scalar: (c, a, b) => (c ? a : b),
  infer: ([c, a, b]) => {
    const [condition, x, y] = [c, a, b] as [Tensor, Tensor, Tensor];
    if (condition.dtype !== "bool")
      fail("dtype", `where: the condition must be bool, got ${condition.dtype}; compare first, e.g. x.greater(0)`);
    const shape: Shape = broadcastShapes("where", condition.shape, broadcastShapes("where", x.shape, y.shape));
    return { shape, dtype: x.dtype };
  },
  gradient: ({ inputs, gradient: g, needs }) => {
    const [c, a, b] = inputs as [Tensor, Tensor, Tensor];
    return [
      undefined,
      needs(1) ? sumTo(where(c, g, 0), a.shape) : undefined,
      needs(2) ? sumTo(where(c, 0, g), b.shape) : undefined,
    ];
  },
  lower: ({ emit, emitCast, value, cast, inputs, node }) => {
    const [condition, a, b] = inputs as [string, string, string];
    const { dtype } = node.inputs[1] as Tensor;
    if (dtype !== "bool" && dtype !== "int8") return emit("Where", inputs);
    // Engines select among 32-bit numbers, not among these.
    emitCast(value("Where", [condition, cast(a, "int32"), cast(b, "int32")]), dtype);
  },
});
/** a where the condition holds, b elsewhere; two numbers make a float32. */
export function where(condition: Tensor, a: TensorLike, b: TensorLike): Tensor {
  const first = typeof a === "number" && typeof b === "number" ? full([], a) : a;
  return makeWhere([condition, ...pair("where", first, b)], none);
}

/** Into [min, max]; the gradient passes inside and at the ends, as in torch. */
export function clamp(x: Tensor, { min, max }: { readonly min?: number; readonly max?: number }): Tensor {
  if (min === undefined && max === undefined) fail("argument", "clamp: give min, max or both");
  if (min !== undefined && max !== undefined && min > max) fail("argument", `clamp: min ${min} is above max ${max}`);
  return makeClamp([x], { min: min ?? Number.NEGATIVE_INFINITY, max: max ?? Number.POSITIVE_INFINITY });
}

const makeClamp = defineSingle<{ readonly min: number; readonly max: number }>({
  name: "clamp",
  infer: ([x]) => {
    const { shape, dtype } = x as Tensor;
    return notBool(dtype) ? { shape, dtype } : fail("dtype", "clamp: does not accept bool");
  },
  gradient: ({ inputs, attributes: { min, max }, gradient: g }) => {
    const [x] = inputs as [Tensor];
    return [where(and(greaterEqual(x, min), lessEqual(x, max)), g, 0)];
  },
  // Min and Max rather than Clip: integers may have one end only, and infinity is no integer.
  lower: ({ emit, value, scalar, inputs, node, attributes: { min, max } }) => {
    const [x] = inputs as [string];
    const { dtype } = node.inputs[0] as Tensor;
    if (max === Number.POSITIVE_INFINITY) return emit("Max", [x, scalar(min, dtype)]);
    const above = min === Number.NEGATIVE_INFINITY ? x : value("Max", [x, scalar(min, dtype)]);
    emit("Min", [above, scalar(max, dtype)]);
  },
});

export const square = (x: Tensor): Tensor => mul(x, x);

function roundHalfEven(x: number): number {
  const r = Math.round(x);
  return Math.abs(x % 1) === 0.5 && r % 2 !== 0 ? r - 1 : r;
}

/** erf to double precision: its series near 0, the continued fraction of erfc further out. */
function erfScalar(x: number): number {
  const a = Math.abs(x);
  if (a > 6) return Math.sign(x);
  if (a < 2.5) {
    let term = x;
    let sum = x;
    for (let n = 1; n < 80; n++) {
      term *= (-x * x) / n;
      sum += term / (2 * n + 1);
    }
    return (2 / Math.sqrt(Math.PI)) * sum;
  }
  let fraction = 0;
  for (let k = 60; k > 0; k--) fraction = k / 2 / (a + fraction);
  return Math.sign(x) * (1 - Math.exp(-a * a) / (Math.sqrt(Math.PI) * (a + fraction)));
}

const methods = {
  neg,
  abs,
  sign,
  exp,
  log,
  sqrt,
  rsqrt,
  reciprocal,
  square,
  tanh,
  sigmoid,
  softplus,
  sin,
  cos,
  atan,
  erf,
  round,
  floor,
  ceil,
  relu,
  gelu,
  silu,
  not,
  isNaN: isNotANumber,
  isFinite: isFiniteNumber,
  clamp,
  add: (x: Tensor, y: TensorLike) => add(x, y),
  sub: (x: Tensor, y: TensorLike) => sub(x, y),
  mul: (x: Tensor, y: TensorLike) => mul(x, y),
  div: (x: Tensor, y: TensorLike) => div(x, y),
  pow: (x: Tensor, y: TensorLike) => pow(x, y),
  maximum: (x: Tensor, y: TensorLike) => maximum(x, y),
  minimum: (x: Tensor, y: TensorLike) => minimum(x, y),
  mod: (x: Tensor, y: TensorLike) => mod(x, y),
  equal: (x: Tensor, y: TensorLike) => equal(x, y),
  notEqual: (x: Tensor, y: TensorLike) => notEqual(x, y),
  less: (x: Tensor, y: TensorLike) => less(x, y),
  lessEqual: (x: Tensor, y: TensorLike) => lessEqual(x, y),
  greater: (x: Tensor, y: TensorLike) => greater(x, y),
  greaterEqual: (x: Tensor, y: TensorLike) => greaterEqual(x, y),
  and: (x: Tensor, y: TensorLike) => and(x, y),
  or: (x: Tensor, y: TensorLike) => or(x, y),
  xor: (x: Tensor, y: TensorLike) => xor(x, y),
};
declare module "./tensor.js" {
  interface Tensor extends MethodsOf<typeof methods> {}
}
attachMethods(methods);

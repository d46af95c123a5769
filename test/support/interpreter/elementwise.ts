import { isFloat, type Node, type Tensor } from "../../../src/tensor/index.js";
import { makeValue, read, type Value } from "./value.js";

/** erf by the series with positive terms, e^(-x²) Σ 2ⁿ x²ⁿ⁺¹ / (2n+1)!!: no cancellation. */
function erf(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; n < 200; n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

function halfToEven(x: number): number {
  const low = Math.floor(x);
  const rest = x - low;
  if (rest !== 0.5) return rest < 0.5 ? low : low + 1;
  return low % 2 === 0 ? low : low + 1;
}

const truth = (condition: boolean): number => (condition ? 1 : 0);
const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

type Scalar = (...operands: number[]) => number;
const f = (scalar: (x: number) => number): Scalar => scalar as Scalar;
const g = (scalar: (a: number, b: number) => number): Scalar => scalar as Scalar;

const scalars: Readonly<Record<string, Scalar>> = {
  neg: f((x) => -x),
  abs: f(Math.abs),
  sign: f(Math.sign),
  exp: f(Math.exp),
  log: f(Math.log),
  sqrt: f(Math.sqrt),
  rsqrt: f((x) => x ** -0.5),
  reciprocal: f((x) => 1 / x),
  tanh: f(Math.tanh),
  sigmoid: f(sigmoid),
  softplus: f((x) => (x > 30 ? x + Math.exp(-x) : Math.log1p(Math.exp(x)))),
  sin: f(Math.sin),
  cos: f(Math.cos),
  atan: f(Math.atan),
  erf: f(erf),
  round: f(halfToEven),
  floor: f(Math.floor),
  ceil: f(Math.ceil),
  relu: f((x) => Math.max(x, 0)),
  positive: f((x) => truth(x > 0)),
  gelu: f((x) => (x * (1 + erf(x / Math.SQRT2))) / 2),
  geluTanh: f((x) => (x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x)))) / 2),
  silu: f((x) => x * sigmoid(x)),
  not: f((x) => 1 - x),
  identity: f((x) => x),
  isNaN: f((x) => truth(Number.isNaN(x))),
  add: g((a, b) => a + b),
  sub: g((a, b) => a - b),
  mul: g((a, b) => a * b),
  pow: g((a, b) => a ** b),
  maximum: g((a, b) => Math.max(a, b)),
  minimum: g((a, b) => Math.min(a, b)),
  mod: g((a, b) => ((a % b) + b) % b),
  equal: g((a, b) => truth(a === b)),
  notEqual: g((a, b) => truth(a !== b)),
  less: g((a, b) => truth(a < b)),
  lessEqual: g((a, b) => truth(a <= b)),
  greater: g((a, b) => truth(a > b)),
  greaterEqual: g((a, b) => truth(a >= b)),
  and: g((a, b) => a * b),
  or: g((a, b) => Math.max(a, b)),
  xor: g((a, b) => truth(a !== b)),
  where: (c, a, b) => (c ? a : b) as number,
};

export const elementwiseNames = ["div", "clamp", "cast", ...Object.keys(scalars)];

function scalarOf({ operation, attributes, inputs }: Node): Scalar {
  const float = isFloat((inputs[0] as Tensor).dtype);
  if (operation.name === "div") return float ? g((a, b) => a / b) : g((a, b) => Math.trunc(a / b));
  if (operation.name === "clamp") {
    const { min, max } = attributes as { min: number; max: number };
    return f((x) => Math.min(Math.max(x, min), max));
  }
  if (operation.name === "cast") {
    const { dtype } = attributes as { dtype: string };
    if (dtype === "bool") return f((x) => truth(x !== 0));
    return dtype.startsWith("float") ? f((x) => x) : f(Math.trunc);
  }
  return scalars[operation.name] as Scalar;
}

export function elementwise(node: Node, inputs: readonly Value[]): Value[] {
  const scalar = scalarOf(node);
  const { shape } = node.outputs[0] as Tensor;
  return [makeValue(shape, (index) => scalar(...inputs.map((x) => read(x, index))))];
}

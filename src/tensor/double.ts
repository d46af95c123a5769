/**
 * Functions that engines have in single precision only, spelt out in float64 arithmetic to full accuracy: infinite-width
 * kernels and large-step regression need it. Slower than a kernel would be; used for float64 alone.
 */
import type { Lowering, Tensor } from "./tensor.js";

type None = Record<string, never>;

export const isDouble = ({ node }: Lowering<None>): boolean => (node.inputs[0] as Tensor).dtype === "float64";

/** Value names in, value names out. */
function doubleArithmetic({ value, scalar }: Lowering<None>) {
  return {
    number: (n: number) => scalar(n, "float64"),
    add: (a: string, b: string) => value("Add", [a, b]),
    sub: (a: string, b: string) => value("Sub", [a, b]),
    mul: (a: string, b: string) => value("Mul", [a, b]),
    div: (a: string, b: string) => value("Div", [a, b]),
    apply: (type: string, a: string) => value(type, [a]),
  };
}

/** max(x, 0) + log(1 + e^-|x|) */
export function softplusDouble(lowering: Lowering<None>): void {
  const { number, add, apply } = doubleArithmetic(lowering);
  const [x] = lowering.inputs as [string];
  const tail = apply("Log", add(apply("Exp", apply("Neg", apply("Abs", x))), number(1)));
  lowering.emit("Add", [lowering.value("Max", [x, number(0)]), tail]);
}

/** atan x: |x| > 1 by its reciprocal, the angle halved three times, then the series, whose 21st power is below 1e-22. */
export function atanDouble(lowering: Lowering<None>): void {
  const { number, add, sub, mul, div, apply } = doubleArithmetic(lowering);
  const { value } = lowering;
  const [x] = lowering.inputs as [string];
  const size = apply("Abs", x);
  const large = value("Greater", [size, number(1)]);
  const inside = value("Where", [large, div(number(1), value("Max", [size, number(1)])), size]);
  const halved = [1, 2, 3].reduce((t) => div(t, add(apply("Sqrt", add(mul(t, t), number(1))), number(1))), inside);
  const square = mul(halved, halved);
  let series = number(-1 / 19);
  for (let n = 17; n >= 1; n -= 2) series = add(mul(series, square), number((n % 4 === 1 ? 1 : -1) / n));
  const angle = mul(mul(series, halved), number(8));
  lowering.emit("Mul", [apply("Sign", x), value("Where", [large, sub(number(Math.PI / 2), angle), angle])]);
}

/**
 * erf x, |x| below 2 by its Taylor series, above by the continued fraction of erfc; both to about 1e-15.
 * (Abramowitz and Stegun, 7.1.6 and 7.1.14.)
 */
export function erfDouble(lowering: Lowering<None>, x: string): string {
  const { number, add, sub, mul, div, apply } = doubleArithmetic(lowering);
  const { value } = lowering;
  const size = apply("Abs", x);
  const large = value("Greater", [size, number(2)]);
  // 2/√π e^(-t²) Σ 2ⁿ t^(2n+1) / (2n+1)!!, all terms positive; by Horner's rule.
  const t = value("Min", [size, number(2)]);
  const double = mul(mul(t, t), number(2));
  let series = number(1);
  for (let n = 45; n >= 1; n--) series = add(mul(mul(series, double), number(1 / (2 * n + 1))), number(1));
  const near = mul(mul(mul(series, t), apply("Exp", apply("Neg", mul(t, t)))), number(2 / Math.sqrt(Math.PI)));
  // e^(-u²) / √π / (u + (1/2) / (u + 1 / (u + (3/2) / …)))
  const u = value("Max", [size, number(2)]);
  let fraction = u;
  for (let k = 60; k >= 1; k--) fraction = add(u, div(number(k / 2), fraction));
  const far = sub(number(1), div(apply("Exp", apply("Neg", mul(u, u))), mul(fraction, number(Math.sqrt(Math.PI)))));
  return mul(apply("Sign", x), value("Where", [large, far, near]));
}

/** x (1 + erf(x / √2)) / 2 */
export function geluDouble(lowering: Lowering<None>): void {
  const { number, add, mul } = doubleArithmetic(lowering);
  const [x] = lowering.inputs as [string];
  lowering.emit("Mul", [mul(x, number(0.5)), add(erfDouble(lowering, mul(x, number(Math.SQRT1_2))), number(1))]);
}

/** x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2 */
export function geluTanhDouble(lowering: Lowering<None>): void {
  const { number, add, mul, apply } = doubleArithmetic(lowering);
  const [x] = lowering.inputs as [string];
  const inner = mul(x, add(mul(mul(x, x), number(0.044715 * Math.sqrt(2 / Math.PI))), number(Math.sqrt(2 / Math.PI))));
  lowering.emit("Mul", [mul(x, number(0.5)), add(apply("Tanh", inner), number(1))]);
}

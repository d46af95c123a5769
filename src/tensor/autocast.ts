/**
 * Mixed precision (Mixed Precision Training, 2018): matrix products and convolutions in float16, all else in float32, weights
 * among it. Each product rounds its operands and gives float32 again, so that no other operation knows of it.
 */
import { fail } from "./errors.js";
import { cast } from "./shaping.js";
import type { Tensor } from "./tensor.js";

let isHalf = false;

/**
 * Run `body` with products of float32 tensors, and the products of their gradients, in float16. Gradients below 6e-8 vanish there:
 * scale the loss first (`fit` does, with `precision: "float16"`). Worth it on a GPU; elsewhere engines convert back and forth.
 */
export function autocast<T>(dtype: "float16", body: () => T): T {
  if (dtype !== "float16") fail("argument", `autocast: expected "float16", got ${JSON.stringify(dtype)}`);
  return withHalf(true, body);
}

/** What runs a later body, a backward pass, as a body would run now. */
export function presentPrecision(): <T>(body: () => T) => T {
  const now = isHalf;
  return (body) => withHalf(now, body);
}

function withHalf<T>(next: boolean, body: () => T): T {
  const outer = isHalf;
  isHalf = next;
  try {
    return body();
  } finally {
    isHalf = outer;
  }
}

/** Whether a product of these is taken of halves. */
export const isRounded = (operands: readonly Tensor[]): boolean =>
  isHalf && operands.every(({ dtype }) => dtype === "float32");

/** A product of these operands, as `autocast` asks for it. */
export function inPrecision(operands: readonly Tensor[], product: (operands: readonly Tensor[]) => Tensor): Tensor {
  if (!isRounded(operands)) return product(operands);
  return cast(product(operands.map((x) => cast(x, "float16"))), "float32");
}

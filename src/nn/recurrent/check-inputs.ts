import { fail, formatShape, type Shape, sameShape, type Tensor } from "../../tensor/index.js";
import { at } from "../where.js";

/** Throws where the input is not [batch, time, width], or has no steps. */
export function checkSequence(name: string, x: Tensor, width: number): void {
  if (x.rank !== 3 || x.dim(2) !== width)
    fail(
      "shape",
      `${at(name)}: expected [batch, time, ${width}], got ${formatShape(x.shape)}; ${x.rank === 2 ? "add an axis of one sample with .unsqueeze(0)" : "was the layer built with this inputSize?"}`,
    );
  if (x.dim(1) === 0) fail("shape", `${at(name)}: the sequence has no steps; give at least one`);
}

/** Throws where the mask is not bool [batch, time]; nothing is broadcast. */
export function checkMask(name: string, mask: Tensor, batch: number, steps: number): void {
  if (mask.dtype !== "bool")
    fail("dtype", `${at(name)}: expected a mask of bool, got ${mask.dtype}; use .cast("bool")`);
  if (!sameShape(mask.shape, [batch, steps]))
    fail(
      "shape",
      `${at(name)}: expected a mask [batch, time] = [${batch}, ${steps}], got ${formatShape(mask.shape)}${sameShape(mask.shape, [steps, batch]) ? "; transpose it" : ""}`,
    );
}

/** Throws where a first state is not [layers · directions, batch, H]. */
export function checkState(name: string, state: string, value: Tensor, expected: Shape): void {
  if (!sameShape(value.shape, expected))
    fail(
      "shape",
      `${at(name)}: expected ${state} [layers · directions, batch, hidden] = ${formatShape(expected)}, got ${formatShape(value.shape)}`,
    );
}

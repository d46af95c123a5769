/**
 * Norms whose backward pass keeps statistics of gradients: which step this is, and that every forward pass is followed by
 * its own backward pass before the next one, as their rules assume.
 */
import { customGradient, fail, type Tensor, type Variable } from "../../tensor/index.js";
import { at } from "../where.js";

/** The step counter that a step started from, by the counter that it left. */
const startedFrom = new WeakMap<Tensor, Tensor>();

export interface Step {
  /** t, from 1: float32 [1]. */
  readonly t: Tensor;
  /**
   * `forward` with a derivative of its own, as `customGradient`. Building the gradient throws where another step of the
   * norm came between: then it is undefined which pass the statistics belong to.
   */
  differentiable(inputs: readonly Tensor[], forward: () => Tensor, backward: (dy: Tensor) => readonly Tensor[]): Tensor;
}

/** Counts one training step; `name` is the norm's in errors. */
export function countStep(name: string, iters: Variable): Step {
  const before = iters.latest;
  iters.advance((count) => {
    const next = count.add(1);
    startedFrom.set(next, before);
    return next;
  });
  const where = at(name);
  return {
    t: before.cast("float32").add(1),
    differentiable: (inputs, forward, backward) =>
      customGradient(inputs, forward, (dy) => {
        if (startedFrom.get(iters.latest) !== before)
          fail(
            "gradient",
            `${where}: two forward passes in training before one backward pass, so its statistics of gradients are undefined; take each pass's gradient before the next, or use the layer once`,
          );
        return backward(dy);
      }),
  };
}

import type { AnyModule } from "../../nn/index.js";
import { compile, type Feed } from "../../runtime/index.js";
import { grad, type NDArray, type Tensor } from "../../tensor/index.js";

type Tensors = Record<string, Tensor>;

/** The results of a function of these arrays, run once as a program of its own; what is observed stands beside them. */
export async function runOnce(
  feeds: Record<string, Feed>,
  fn: (inputs: Tensors) => Tensors,
): Promise<Record<string, NDArray>> {
  const program = compile(fn);
  try {
    const { observed, ...results } = await program(feeds);
    return { ...(results as Record<string, NDArray>), ...observed };
  } finally {
    await program.release();
  }
}

/** Gradients of a loss by `grad.<name>`: of a model's variables, and of other tensors under names of their own. */
export function namedGradients(loss: Tensor, model: AnyModule, others: Tensors = {}): Tensors {
  const named = [...Object.entries(others), ...model.namedVariables()];
  const gradients = grad(
    loss,
    named.map(([, tensor]) => tensor),
  );
  return Object.fromEntries(named.map(([name], i) => [`grad.${name}`, gradients[i] as Tensor]));
}

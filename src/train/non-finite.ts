/** Where a loss stopped being finite: the first module, in the order of the forward pass, whose output is not. */
import { type AnyModule, observe } from "../nn/index.js";
import { compile } from "../runtime/index.js";
import { grad, isFloat, type NDArray, ones, type Tensor, training } from "../tensor/index.js";

type Batch = Readonly<Record<string, NDArray>>;

/**
 * Runs the batch again with every module watched; weights must be those the step started from. Undefined where all
 * is finite.
 */
export async function firstNonFinite(
  model: AnyModule,
  loss: (inputs: Readonly<Record<string, Tensor>>) => Tensor,
  batch: Batch,
  { backend }: { readonly backend?: "cpu" | "webgpu" | "wasm" | undefined } = {},
): Promise<string | undefined> {
  const parameters = model.parameters();
  for (const parameter of parameters)
    if (!(await parameter.data()).toNumbers().every(Number.isFinite)) return `parameter "${parameter.name}" itself`;
  const isOk = (x: Tensor) => (isFloat(x.dtype) ? x.isFinite().all() : ones([], "bool"));
  const watches = [observe(model, "**:out", isOk), observe(model, "**:grad", isOk)];
  const program = compile(
    (inputs) => {
      const value = training(() => loss(inputs));
      return {
        value,
        gradients: grad(value, parameters)
          .map((g) => g.isFinite().all())
          .reduce((a, b) => a.and(b)),
      };
    },
    backend ? { backend } : {},
  );
  try {
    const { observed, value } = await program(batch);
    const wrong = Object.keys(observed).filter((name) => observed[name]?.item() === 0);
    const forward = wrong.find((name) => !name.endsWith(":grad"));
    if (forward !== undefined) return `the output of "${forward.replace(/:out(#\d+)?$/, "")}"`;
    if (!Number.isFinite(value.item())) return "the loss itself: every module's output is finite";
    // The backward pass meets the last module first.
    const backward = wrong.at(-1);
    return backward === undefined ? undefined : `the gradient of "${backward.replace(/:grad$/, "")}"`;
  } finally {
    for (const watch of watches) watch.stop();
    await program.release();
  }
}

/**
 * Where a loss stopped being finite: the first module, in the order of the forward pass, whose output is not; where all
 * of them are, the module whose backward pass made a gradient that is not from ones that are.
 */
import { type AnyModule, observe } from "../nn/index.js";
import { compile } from "../runtime/index.js";
import {
  concat,
  grad,
  isFloat,
  type NDArray,
  type Node,
  ones,
  reachable,
  type Tensor,
  training,
} from "../tensor/index.js";

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
  let backward: readonly Tensor[] = [];
  let gradients: readonly Tensor[] = [];
  const watch = observe(model, "**:out", isOk);
  const program = compile(
    (inputs) => {
      const value = training(() => loss(inputs));
      gradients = grad(value, parameters);
      backward = between(gradients, value);
      return { value, finite: concat(backward.map((x) => isOk(x).cast("float32").reshape([1]))) };
    },
    // Values are traced back by the tensors of this graph, so all of them must stay in it.
    { passes: false, ...(backend && { backend }) },
  );
  try {
    const { observed, value, finite } = await program(batch);
    const output = Object.keys(observed).find((name) => observed[name]?.item() === 0);
    if (output !== undefined) return `the output of "${output.replace(/:out(#\d+)?$/, "")}"`;
    if (!Number.isFinite(value.item())) return "the loss itself: every module's output is finite";
    const wrong = new Set(backward.filter((_, i) => finite.at(i) === 0));
    const start = gradients.find((gradient) => wrong.has(gradient));
    return start && `the gradient of ${placeOf(source(start, wrong))}`;
  } finally {
    watch.stop();
    await program.release();
  }
}

const isOk = (x: Tensor): Tensor => (isFloat(x.dtype) ? x.isFinite().all() : ones([], "bool"));

/** What the backward pass computes, each after what it is made of. */
function between(gradients: readonly Tensor[], value: Tensor): Tensor[] {
  const forward = new Set<Node>(reachable([value]));
  return reachable(gradients).flatMap((node) => (forward.has(node) ? [] : node.outputs));
}

/** Back from a wrong value, through wrong ones, to the one whose inputs are right. */
function source(start: Tensor, wrong: ReadonlySet<Tensor>): Tensor {
  let last = start;
  for (let next: Tensor | undefined = start; next; next = next.node.inputs.find((input) => wrong.has(input)))
    last = next;
  return last;
}

const placeOf = ({ node }: Tensor): string => {
  const path = node.path.replace(/:grad$/, "");
  return path === "" ? "the loss itself: what it gives the modules is not finite" : `"${path}"`;
};

/** Reverse-mode differentiation: adds the backward pass to the same graph, so it can be differentiated again. */
import { onesLike, zerosLike } from "./constant.js";
import { isFloat } from "./dtype.js";
import { add } from "./elementwise.js";
import { fail } from "./errors.js";
import { reachable } from "./graph.js";
import { formatShape } from "./shape.js";
import type { Node, Tensor } from "./tensor.js";
import { currentTrace, recordPoint, withPath } from "./trace.js";

/**
 * d(loss)/d(each of `wrt`), in their order; zeros where the loss does not depend on one. `wrt` may hold any tensors:
 * parameters, inputs, or values in between. Throws unless the loss is one float.
 */
export function grad(loss: Tensor, wrt: readonly Tensor[]): Tensor[] {
  if (loss.size !== 1)
    fail("gradient", `grad: expected a scalar loss, got shape ${formatShape(loss.shape)}; take its mean or sum first`);
  if (!isFloat(loss.dtype)) fail("gradient", `grad: the loss is ${loss.dtype}; only floats have gradients`);
  return vectorJacobian([loss], [onesLike(loss)], wrt);
}

/** Σ d(output)/d(x)ᵀ · cotangent for each x of `wrt`: `grad` from several outputs with gradients of their own. */
export function vectorJacobian(
  outputs: readonly Tensor[],
  cotangents: readonly Tensor[],
  wrt: readonly Tensor[],
): Tensor[] {
  const gradients = new Map<Tensor, Tensor>();
  const accumulate = (x: Tensor, g: Tensor) => {
    const sum = gradients.get(x);
    gradients.set(x, sum ? add(sum, g) : g);
  };
  for (const [i, output] of outputs.entries()) accumulate(output, cotangents[i] as Tensor);
  const wanted = new Set(wrt);
  const { nodes, leads } = paths(outputs, wanted);
  for (const node of nodes) {
    const given = node.outputs.map((output) => gradients.get(output));
    if (!node.inputs.some(leads) || given.every((g) => g === undefined)) continue;
    for (const [i, g] of differentiate(node, given, leads).entries())
      if (g && leads(node.inputs[i] as Tensor)) accumulate(node.inputs[i] as Tensor, g);
  }
  for (const [name, point] of [...(currentTrace()?.points ?? [])]) {
    const gradient = gradients.get(point);
    if (gradient && !name.endsWith(":grad")) recordPoint(`${name.replace(/:out$/, "")}:grad`, gradient);
  }
  return wrt.map((x) => gradients.get(x) ?? zerosLike(x));
}

function differentiate(
  node: Node,
  gradients: readonly (Tensor | undefined)[],
  leads: (x: Tensor) => boolean,
): readonly (Tensor | undefined)[] {
  const { operation, inputs, outputs, attributes } = node;
  if (!operation.gradient) {
    if (outputs.every((output) => !isFloat(output.dtype))) return [];
    if (hasFlatGradient.has(operation.name)) return [];
    return fail(
      "gradient",
      `grad: operation "${operation.name}"${node.path ? ` at ${node.path}` : ""} has no gradient; use stopGradient or customGradient`,
    );
  }
  const gradient = gradients.find((g) => g !== undefined) as Tensor;
  const path = node.path.endsWith(":grad") ? node.path : `${node.path}:grad`;
  return withPath(
    path,
    () =>
      operation.gradient?.({
        node,
        inputs,
        outputs,
        attributes,
        gradients,
        gradient,
        needs: (i) => leads(inputs[i] as Tensor),
      }) ?? [],
  );
}

/** Operations that a derivative does not pass through, by definition. */
const hasFlatGradient = new Set(["stopGradient"]);

/** Nodes below the outputs, last first, and whether a tensor leads to one of `wanted`. */
function paths(
  outputs: readonly Tensor[],
  wanted: ReadonlySet<Tensor>,
): { nodes: Node[]; leads: (x: Tensor) => boolean } {
  const nodes = reachable(outputs);
  const leading = new Set<Node>();
  const leads = (x: Tensor) => wanted.has(x) || leading.has(x.node);
  for (const node of nodes)
    if (isFloat((node.outputs[0] as Tensor).dtype) && node.inputs.some(leads)) leading.add(node);
  return { nodes: nodes.reverse(), leads };
}

/** Walking a graph of tensors. */
import type { Node, Tensor } from "./tensor.js";

/** Every node that the outputs need, inputs before users: node ids grow as nodes are made, so sorting is enough. */
export function reachable(outputs: Iterable<Tensor>): Node[] {
  const seen = new Set<Node>();
  const stack = Array.from(outputs, (output) => output.node);
  for (let node = stack.pop(); node; node = stack.pop()) {
    if (seen.has(node)) continue;
    seen.add(node);
    for (const { node: before } of node.inputs) stack.push(before);
  }
  return [...seen].sort((a, b) => a.id - b.id);
}

/**
 * A plain evaluation of a graph: walk the nodes, naive loops over doubles. It shares nothing with the compiler or the
 * engine, and it never rounds to float32, so difference quotients of its results are sharp.
 */
import type { ConstantAttributes, NDArray, Node, Tensor } from "../../src/tensor/index.js";
import { elementwise, elementwiseNames } from "./interpreter/elementwise.js";
import { movementRules } from "./interpreter/movement.js";
import { productRules } from "./interpreter/products.js";
import { reductionRules } from "./interpreter/reduction.js";
import { fromNDArray, type Value } from "./interpreter/value.js";

type Rule = (node: Node, inputs: readonly Value[]) => Value[];

const rules: ReadonlyMap<string, Rule> = new Map([
  ...elementwiseNames.map((name) => [name, elementwise] as const),
  ...Object.entries(movementRules),
  ...Object.entries(reductionRules),
  ...Object.entries(productRules),
  ["constant", (node: Node) => [fromNDArray((node.attributes as ConstantAttributes).array)]] as const,
]);

export const interpretedOperations: ReadonlySet<string> = new Set(rules.keys());

/** Nodes the outputs need, inputs first (ids grow as nodes are made), not looking behind the tensors that are fed. */
export function nodesBelow(outputs: readonly Tensor[], fed: ReadonlySet<Node> = new Set()): Node[] {
  const seen = new Set<Node>();
  const stack = outputs.map((output) => output.node);
  for (let node = stack.pop(); node; node = stack.pop()) {
    if (seen.has(node)) continue;
    seen.add(node);
    if (!fed.has(node)) for (const input of node.inputs) stack.push(input.node);
  }
  return [...seen].sort((a, b) => a.id - b.id);
}

/**
 * Values of `outputs` when the tensors of `feeds` (inputs, variables, random tensors, or any other) have those values.
 * `single` rounds what every operation gives to float32, which shows how far rounding alone takes a graph.
 */
export function interpret(
  outputs: readonly Tensor[],
  feeds: ReadonlyMap<Tensor, Value>,
  { single = false }: { readonly single?: boolean } = {},
): Value[] {
  const known = new Map<Tensor, Value>(feeds);
  for (const node of nodesBelow(outputs, new Set([...feeds.keys()].map((x) => x.node)))) {
    if (node.outputs.some((output) => feeds.has(output))) continue;
    const rule = rules.get(node.operation.name);
    if (!rule) throw new Error(`interpreter: no rule for operation "${node.operation.name}"`);
    const values = rule(
      node,
      node.inputs.map((x) => known.get(x) as Value),
    );
    for (const [i, output] of node.outputs.entries()) {
      const { shape, data } = values[i] as Value;
      known.set(output, { shape, data: single ? data.map(Math.fround) : data });
    }
  }
  return outputs.map((output) => known.get(output) as Value);
}

export const feedsOf = (entries: Iterable<readonly [Tensor, NDArray]>): Map<Tensor, Value> =>
  new Map(Array.from(entries, ([x, array]) => [x, fromNDArray(array)]));

/**
 * Passes over the graph before it is lowered. One walk, inputs first; each node is rebuilt on its simplified inputs and
 * then either replaced by something cheaper that is equal, or merged with an equal node met before.
 */
import {
  type ConstantAttributes,
  constant,
  constantValue,
  full,
  isFloat,
  makeNode,
  NDArray,
  type Node,
  reachable,
  sameShape,
  type Tensor,
} from "../tensor/index.js";
import { constantKey } from "./graph.js";

export function optimize(outputs: readonly Tensor[]): Tensor[] {
  const replaced = new Map<Tensor, Tensor>();
  const known = new Map<string, Node>();
  const current = (x: Tensor): Tensor => replaced.get(x) ?? x;
  /** The node, or the equal one met before. */
  const first = (node: Node): Node => {
    const key = signature(node);
    const twin = key === undefined ? undefined : known.get(key);
    if (key !== undefined && !twin) known.set(key, node);
    return twin ?? node;
  };
  for (const node of reachable(outputs)) {
    const inputs = node.inputs.map(current);
    const same = inputs.every((x, i) => x === node.inputs[i]);
    const rebuilt = same ? node : (makeNode(node.operation, inputs, node.attributes, node.path)[0] as Tensor).node;
    const simpler = simplify(rebuilt);
    if (simpler) {
      replaced.set(node.outputs[0] as Tensor, first(simpler.node).outputs[simpler.index] as Tensor);
      continue;
    }
    const result = first(rebuilt);
    if (result !== node)
      for (const [i, output] of node.outputs.entries()) replaced.set(output, result.outputs[i] as Tensor);
  }
  return outputs.map(current);
}

/** Operations that only steer the gradient: once it is built they are their first input. */
const aliases = new Set(["stopGradient", "straightThrough", "customGradient", "identity"]);

/** A cheaper equal of a node's only output, if there is one. */
function simplify(node: Node): Tensor | undefined {
  const { operation, inputs, outputs } = node;
  const [y] = outputs as [Tensor];
  const [a, b] = inputs;
  if (aliases.has(operation.name)) return a;
  if (outputs.length === 1 && y.size === 0) return constant(NDArray.zeros(y.shape, y.dtype)); // nothing to compute
  if (operation.name === "matmul" && a?.size === 0) return full(y.shape, 0, y.dtype); // a sum of no products
  if (a && b && neutral(operation.name, constantValue(b)) && sameShape(a.shape, y.shape)) return a;
  if (
    a &&
    b &&
    (operation.name === "add" || operation.name === "mul") &&
    neutral(operation.name, constantValue(a)) &&
    sameShape(b.shape, y.shape)
  )
    return b;
  return foldConstants(node) ?? collapse(node) ?? stillHalf(node) ?? withoutExpansion(node);
}

/** Back to halves what was halves and has only been laid out anew as singles: it is laid out as halves. */
function stillHalf({ operation, inputs, outputs }: Node): Tensor | undefined {
  if (operation.name !== "cast" || outputs[0]?.dtype !== "float16") return undefined;
  return halves(inputs[0] as Tensor);
}

const layouts = new Set(["reshape", "transpose", "slice", "expand"]);

function halves({ node: { operation, inputs, attributes, path }, dtype }: Tensor): Tensor | undefined {
  const [x] = inputs;
  if (!x || !isFloat(dtype)) return undefined;
  if (operation.name === "cast") return x.dtype === "float16" ? x : undefined;
  const before = layouts.has(operation.name) ? halves(x) : undefined;
  return before && makeNode(operation, [before], attributes, path)[0];
}

/** An elementwise operation broadcasts by itself: what only stretched an operand for it goes. */
function withoutExpansion({ operation, inputs, outputs, attributes, path }: Node): Tensor | undefined {
  if (!operation.scalar || inputs.length !== 2) return undefined;
  const [y] = outputs as [Tensor];
  for (const [i, x] of inputs.entries()) {
    const other = inputs[1 - i] as Tensor;
    if (x.node.operation.name !== "expand" || !sameShape(other.shape, y.shape)) continue;
    const narrow = x.node.inputs[0] as Tensor;
    return makeNode(operation, i === 0 ? [narrow, other] : [other, narrow], attributes, path)[0];
  }
  return undefined;
}

function neutral(name: string, value: number | undefined): boolean {
  if (value === 0) return name === "add" || name === "sub";
  return value === 1 && (name === "mul" || name === "div" || name === "pow");
}

/** An elementwise operation on constants that are one number each is a constant. */
function foldConstants({ operation, inputs, outputs }: Node): Tensor | undefined {
  if (!operation.scalar || inputs.length === 0) return undefined;
  const values = inputs.map(constantValue);
  const [y] = outputs as [Tensor];
  if (!values.every((v) => v !== undefined) || y.dtype === "int64") return undefined;
  return full(y.shape, operation.scalar(...values), y.dtype);
}

/** reshape of reshape, transpose of transpose, negation of negation. */
function collapse({ operation, inputs, outputs, path, attributes }: Node): Tensor | undefined {
  const [x] = inputs;
  const [y] = outputs as [Tensor];
  if (!x || x.node.operation !== operation) return undefined;
  const inner = x.node.inputs[0] as Tensor;
  if (operation.name === "neg") return inner;
  if (operation.name === "reshape") {
    if (sameShape(inner.shape, y.shape)) return inner;
    return makeNode(operation, [inner], { shape: y.shape }, path)[0];
  }
  if (operation.name !== "transpose") return undefined;
  const { permutation: second } = attributes as { permutation: readonly number[] };
  const { permutation: first } = x.node.attributes as { permutation: readonly number[] };
  const permutation = second.map((axis) => first[axis] as number);
  return permutation.every((axis, i) => axis === i) ? inner : makeNode(operation, [inner], { permutation }, path)[0];
}

/** What makes two nodes equal: operation, attributes, inputs. Leaves that are drawn or fed are themselves. */
function signature({ operation, attributes, inputs }: Node): string | undefined {
  if (operation.name === "variable" || operation.name === "input" || operation.name === "random") return undefined;
  if (operation.name === "constant") return constantKey((attributes as ConstantAttributes).array);
  const described = JSON.stringify(attributes, (_, value) =>
    typeof value === "number" && !Number.isFinite(value) ? String(value) : value,
  );
  return `${operation.name}|${described}|${inputs.map((x) => `${x.node.id}:${x.index}`).join(",")}`;
}

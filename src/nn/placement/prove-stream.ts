/**
 * What a model says of its residual stream, held against the graph it really makes. The stream is everything that is
 * added up on the way to a norm. It may be recentred only if each addend comes from a writer that was named, and if
 * nothing but the norms that were named reads it: a mean that somebody else sees cannot be taken away.
 */
import { fail, input, type Node, newTrace, reachable, Tensor, Variable, withTrace } from "../../tensor/index.js";
import type { ResidualStream, StreamModel } from "./stream.js";

/** Throws, naming the node, where something else writes to the stream or reads it. */
export function proveStream(model: StreamModel, { readers, writers, start }: ResidualStream): void {
  const output = traced(model);
  const nodes = reachable([output]);
  const norms = new Set(readers.map(({ norm }) => norm));
  // A variable of the model itself is its own source: the model's path would excuse all that it computes.
  const own = new Set(writers.flatMap(({ path }) => (path.includes(".") ? [] : [path])));
  const sources = new Set([
    ...writers.flatMap(({ path, source }) => source ?? (own.has(path) ? [] : parentOf(path))),
    ...(start === undefined ? [] : [start]),
  ]);
  const isNorm = (node: Node) => node.operation.name === "layerNorm" && norms.has(node.path);
  const stream = new Set<Tensor>();
  const follow = (x: Tensor): void => {
    if (stream.has(x)) return;
    stream.add(x);
    if (sources.has(x.node.path) || (x instanceof Variable && own.has(x.name))) return;
    const addends = carried(x.node);
    if (!addends)
      fail(
        "conversion",
        `${describe(x.node)} writes to the residual stream, but is not among its writers; merge it into one, or recentre it`,
      );
    for (const addend of addends) follow(addend);
  };
  for (const node of nodes) if (isNorm(node)) follow(node.inputs[0] as Tensor);
  for (const node of nodes)
    for (const [i, x] of node.inputs.entries()) {
      if (!stream.has(x) || node.outputs.some((y) => stream.has(y)) || (isNorm(node) && i === 0)) continue;
      if (sources.has(node.path)) continue; // inside a writer, before its output
      fail(
        "conversion",
        `${describe(node)} reads the residual stream without a LayerNorm, so it sees the mean that conversion takes away`,
      );
    }
  if (stream.has(output))
    fail("conversion", "the model gives its residual stream away, mean and all; add a final LayerNorm");
}

const parentOf = (path: string): string => path.split(".").slice(0, -1).join(".");

const describe = ({ operation, path }: Node): string =>
  path ? `"${operation.name}" at ${path}` : `"${operation.name}" outside any module`;

/** What the output is a sum of, where the operation keeps zero means zero; undefined for others. */
function carried({ operation, inputs, attributes }: Node): readonly Tensor[] | undefined {
  if (operation.name === "add") return inputs;
  // Beside each other, but not along the features.
  if (operation.name === "concat")
    return (attributes as { readonly axis: number }).axis < (inputs[0] as Tensor).rank - 1 ? inputs : undefined;
  return operation.name === "reshape" || operation.name === "expand" ? inputs : undefined;
}

function traced(model: StreamModel): Tensor {
  const { shape, dtype } = model.exampleInput();
  const output = withTrace(newTrace(), () =>
    (model as unknown as { apply(x: Tensor): unknown }).apply(input([], { name: "input", shape, dtype })),
  );
  return output instanceof Tensor
    ? output
    : fail("conversion", `${model.constructor.name} must return one tensor to be converted`);
}

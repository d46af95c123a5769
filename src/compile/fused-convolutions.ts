/**
 * What follows a convolution in the engine's own layout and is its only reader becomes part of it: the sum with another
 * image, then relu. Each is a pass over the image less. (The engine does so itself where it chose that layout.)
 */
import { blockedDomain } from "../tensor/index.js";
import { encodeNode } from "./onnx/encode.js";
import type { NodeProto } from "./onnx/onnx_pb.js";

/** `blocked`: the values in that layout; `results`: those that are read from outside. */
export function fuseConvolutions(
  nodes: readonly NodeProto[],
  blocked: ReadonlySet<string>,
  results: Iterable<string>,
): NodeProto[] {
  const alone = readOnce(nodes, results);
  const kept = new Set<NodeProto>();
  /** Convolutions that may still take something in, by their result. */
  const open = new Map<string, NodeProto>();
  for (const node of nodes) {
    const [x, y] = node.input as [string, string?];
    const sums = node.opType === "Add" && x !== y && node.input.every((value) => blocked.has(value));
    const own = sums ? node.input.find((value) => (open.get(value)?.input.length ?? 4) < 4) : x;
    const before = own === undefined ? undefined : open.get(own);
    let result = node;
    if (before && sums) {
      const other = own === x ? (y as string) : x;
      kept.delete(before); // its turn comes when the other image is there
      before.input = [...before.input, ...Array(3 - before.input.length).fill(""), other];
      result = before;
    } else if (before && node.opType === "Relu") {
      before.attribute.push(...encodeNode("", "", [], [], { activation: "Relu" }).attribute);
      result = before;
    }
    if (own !== undefined && result === before) open.delete(own);
    result.output = node.output;
    kept.add(result);
    const [made] = result.output as [string];
    if (isConvolution(result) && node.opType !== "Relu" && alone.has(made)) open.set(made, result);
  }
  return [...kept];
}

function readOnce(nodes: readonly NodeProto[], results: Iterable<string>): Set<string> {
  const readers = [...nodes.flatMap(({ input }) => input), ...results];
  const [once, twice] = [new Set<string>(), new Set<string>()];
  for (const value of readers) (once.has(value) ? twice : once).add(value);
  for (const value of twice) once.delete(value);
  return once;
}

const isConvolution = ({ opType, domain }: NodeProto): boolean => opType === "Conv" && domain === blockedDomain;

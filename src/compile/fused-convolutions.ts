/**
 * What follows a convolution in the engine's own layout and is its only reader becomes part of it: the sum with another
 * image, then relu. Each is a pass over the image less. (The engine does so itself where it chose that layout.)
 */
import { blockedDomain } from "../tensor/index.js";
import { encodeAttribute } from "./onnx/encode.js";
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
  const keep = (node: NodeProto, mayGrow: boolean): void => {
    kept.delete(node); // one that takes an image in has its turn when that is there
    kept.add(node);
    const [y] = node.output as [string];
    if (mayGrow && alone.has(y)) open.set(y, node);
  };
  for (const node of nodes) {
    const taken = node.opType === "Relu" ? node.input[0] : summand(node, blocked, open);
    const convolution = taken === undefined ? undefined : open.get(taken);
    if (taken === undefined || !convolution) {
      keep(node, node.opType === "Conv" && node.domain === blockedDomain);
      continue;
    }
    open.delete(taken);
    convolution.output = node.output;
    if (node.opType === "Relu") convolution.attribute.push(encodeAttribute("activation", "Relu"));
    else {
      const other = node.input.find((value) => value !== taken) as string;
      convolution.input = [...convolution.input, ...Array(3 - convolution.input.length).fill(""), other];
      keep(convolution, true);
    }
  }
  return [...kept];
}

/** Of a sum of two images the one that comes from a convolution without a sum of its own. */
function summand(
  { opType, input }: NodeProto,
  blocked: ReadonlySet<string>,
  open: ReadonlyMap<string, NodeProto>,
): string | undefined {
  if (opType !== "Add" || input[0] === input[1] || !input.every((value) => blocked.has(value))) return undefined;
  return input.find((value) => (open.get(value)?.input.length ?? 4) < 4);
}

function readOnce(nodes: readonly NodeProto[], results: Iterable<string>): Set<string> {
  const readers = [...nodes.flatMap(({ input }) => input), ...results];
  const [once, twice] = [new Set<string>(), new Set<string>()];
  for (const value of readers) (once.has(value) ? twice : once).add(value);
  for (const value of twice) once.delete(value);
  return once;
}

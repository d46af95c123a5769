/** What the compiler asks of the nodes of a graph. */
import type { NDArray, Node } from "../tensor/index.js";

const leafNames: ReadonlySet<string> = new Set(["constant", "variable", "input", "random"]);
export const isLeaf = (node: Node): boolean => leafNames.has(node.operation.name);

/** Elements up to which comparing constants costs less than keeping one twice. */
const smallConstant = 64;

/** What makes two small constants equal, to the sign of a zero; undefined for large ones, which are not compared. */
export function constantKey(array: NDArray): string | undefined {
  if (array.size > smallConstant) return undefined;
  const numbers = array.toNumbers().map((v) => (Object.is(v, -0) ? "-0" : v));
  return `${array.dtype}|${array.shape.join("x")}|${numbers}`;
}

/**
 * Graphs as text: an edge a line, `source destination` and what the edge has, apart by spaces, tabs, commas or semicolons.
 * Lines that are empty or begin with # or % do not count.
 */
import { fail, NDArray } from "../../tensor/index.js";
import { checkGraph, type Graph, type GraphOptions, graph } from "./graph.js";

export interface EdgeListOptions extends Omit<GraphOptions, "edgeTypes" | "edgeFeatures"> {
  /** How many nodes there are (default: one more than the largest index). */
  readonly nodes?: number;
  /** The first node's number in the text (default 0). */
  readonly firstNode?: 0 | 1;
  /** What columns after the second are (default "none": they are refused): one of types, or features. */
  readonly columns?: "none" | "types" | "features";
  /** Begins every error, with the line (default "edge list"). */
  readonly name?: string;
}

/**
 * One graph from its edge list. A first line that begins with no number names the columns, and is passed over. Throws with
 * the line for what is no whole number or outside the nodes, and for lines of different lengths.
 */
export function parseEdgeList(text: string, options: EdgeListOptions = {}): Graph {
  const { nodes, firstNode = 0, columns = "none", name = "edge list", ...attributes } = options;
  const lines = linesOf(text);
  const [head] = lines;
  if (head && !isNumber(head.fields[0] as string)) lines.shift();
  const width = widthOf(lines, columns, name);
  const edges = lines.map(({ fields, line }): [number, number] => {
    const end = (field: string): number => wholeNumber(field, `${name}, line ${line}`) - firstNode;
    return [end(fields[0] as string), end(fields[1] as string)];
  });
  const beyond = edges.findIndex((edge) => edge.some((node) => node >= mostNodes));
  if (beyond >= 0)
    fail(
      "file",
      `${name}, line ${lines[beyond]?.line}: a node beyond ${mostNodes}, the largest number an edge can hold`,
    );
  const count = nodes ?? edges.flat().reduce((most, node) => Math.max(most, node), -1) + 1;
  if (count === 0) fail("file", `${name}: expected an edge a line, got none; give nodes for a graph without edges`);
  for (const [k, edge] of edges.entries()) {
    const bad = edge.find((node) => node < 0 || node >= count);
    if (bad !== undefined)
      fail(
        "file",
        `${name}, line ${lines[k]?.line}: node ${bad + firstNode} is outside ${firstNode} to ${count - 1 + firstNode}`,
      );
  }
  return checkGraph(graph(count, edges, { ...attributes, ...extra(lines, width, columns, name) }), name);
}

/** Indices of nodes are int32. */
const mostNodes = 2 ** 31 - 1;

interface Line {
  readonly fields: readonly string[];
  readonly line: number;
}

/** Lines with their fields, counted from 1. */
export function linesOf(text: string): Line[] {
  return text.split(/\r\n|\r|\n/).flatMap((content, i) => {
    const trimmed = content.replace(/^\uFEFF/, "").trim();
    if (trimmed === "" || /^[#%]/.test(trimmed)) return [];
    return [{ fields: trimmed.split(/\s*[,;]\s*|\s+/), line: i + 1 }];
  });
}

export function wholeNumber(field: string | undefined, where: string): number {
  const value = Number(field);
  return field && /^[+-]?\d+$/.test(field) && Number.isSafeInteger(value)
    ? value
    : fail("file", `${where}: expected a whole number, got "${(field ?? "").slice(0, 40)}"`);
}

export function finiteNumber(field: string | undefined, where: string): number {
  return field && isNumber(field) && Number.isFinite(Number(field))
    ? Number(field)
    : fail("file", `${where}: expected a finite number, got "${(field ?? "").slice(0, 40)}"`);
}

const isNumber = (field: string): boolean => field !== "" && !Number.isNaN(Number(field));

function widthOf(lines: readonly Line[], columns: string, name: string): number {
  const width = lines[0]?.fields.length ?? 2;
  for (const { fields, line } of lines) {
    if (fields.length < 2) fail("file", `${name}, line ${line}: expected a source and a destination, got one field`);
    if (fields.length !== width)
      fail("file", `${name}, line ${line}: ${fields.length} fields, but ${width} in the lines before`);
  }
  if (width > 2 && columns === "none")
    fail("file", `${name}: ${width - 2} columns beside source and destination; say columns: "types" or "features"`);
  if (columns === "types" && width !== 3)
    fail("file", `${name}: expected one column of types beside source and destination, got ${width - 2}`);
  return width;
}

function extra(
  lines: readonly Line[],
  width: number,
  columns: string,
  name: string,
): Pick<Graph, "edgeTypes" | "edgeFeatures"> {
  if (columns === "types")
    return { edgeTypes: Int32Array.from(lines, ({ fields, line }) => wholeNumber(fields[2], `${name}, line ${line}`)) };
  if (columns !== "features" || width === 2) return {};
  const values = lines.flatMap(({ fields, line }) =>
    fields.slice(2).map((field) => finiteNumber(field, `${name}, line ${line}`)),
  );
  return { edgeFeatures: NDArray.from(values, "float32", [lines.length, width - 2]) };
}

/**
 * The folders of the TU collection of graph data sets ("TUDataset: A collection of benchmark datasets for learning with
 * graphs", 2020): `DS_A.txt` holds an edge a line, `DS_graph_indicator.txt` the graph of each node, both counted from 1,
 * and further files a line for each node, edge or graph. This file reads their text; `readTUDataset` a folder.
 */
import { fail, NDArray } from "../../tensor/index.js";
import { finiteNumber, linesOf, wholeNumber } from "./edge-list.js";
import { checkGraph, type Graph } from "./graph.js";

export const tuParts = [
  "A",
  "graph_indicator",
  "graph_labels",
  "graph_attributes",
  "node_labels",
  "node_attributes",
  "edge_labels",
  "edge_attributes",
] as const;
export type TUPart = (typeof tuParts)[number];

export interface TUDataset {
  readonly graphs: Graph[];
  /** Labels of graphs as the file has them, by class: a graph's `target` is [its place here]. Empty without labels. */
  readonly classes: readonly number[];
}

/** A matrix of a file, with the line of each row. */
interface Table {
  readonly name: string;
  readonly rows: readonly (readonly number[])[];
  readonly lines: readonly number[];
}

/**
 * Graphs from the texts of a data set's files. Node and edge labels become types counted from 0; of several columns of
 * labels the first is taken. A graph's target is its attributes, or without those its class. Throws with file and line
 * for what is no number, rows that do not match, and edges between two graphs.
 */
export function parseTUDataset(texts: Partial<Record<TUPart, string>>, name = "DS"): TUDataset {
  const table = (part: TUPart): Table | undefined => {
    const text = texts[part];
    return text === undefined ? undefined : tableOf(text, `${name}_${part}.txt`, !part.endsWith("attributes"));
  };
  const [edges, owner] = [table("A"), table("graph_indicator")];
  if (!edges || !owner) return fail("file", `${name}: expected ${name}_A.txt and ${name}_graph_indicator.txt`);
  const owners = owner.rows.map(([graph = 0], node) => {
    if (graph < 1) fail("file", `${owner.name}, line ${owner.lines[node]}: graphs are counted from 1, got ${graph}`);
    return graph - 1;
  });
  const count = owners.reduce((most, graph) => Math.max(most, graph), -1) + 1;
  checkEvery(owners, count, owner.name);
  const nodesOf = members(owners, count);
  const edgesOf = members(ownersOfEdges(edges, owners), count);
  const per = (part: TUPart, rows: number, what: string) => checkRows(table(part), rows, what);
  const [nodeLabels, edgeLabels] = [
    per("node_labels", owners.length, "nodes"),
    per("edge_labels", edges.rows.length, "edges"),
  ];
  const nodeAttributes = per("node_attributes", owners.length, "nodes");
  const edgeAttributes = per("edge_attributes", edges.rows.length, "edges");
  const graphAttributes = per("graph_attributes", count, "graphs");
  const labels = per("graph_labels", count, "graphs")?.rows.map(([label]) => label as number);
  const classes = [...new Set(labels)].sort((a, b) => a - b);
  const place = new Map(nodesOf.flatMap((nodes) => nodes.map((node, i) => [node, i] as const)));
  const graphs = nodesOf.map((nodes, g) => {
    const own = edgesOf[g] as number[];
    const end = (k: number, side: number): number => place.get((edges.rows[k]?.[side] as number) - 1) as number;
    const target = graphAttributes?.rows[g] ?? (labels && [classes.indexOf(labels[g] as number)]);
    return checkGraph(
      {
        nodes: nodes.length,
        src: Int32Array.from(own, (k) => end(k, 0)),
        dst: Int32Array.from(own, (k) => end(k, 1)),
        ...(nodeLabels && { nodeTypes: typesOf(nodeLabels, nodes) }),
        ...(edgeLabels && { edgeTypes: typesOf(edgeLabels, own) }),
        ...(nodeAttributes && { nodeFeatures: featuresOf(nodeAttributes, nodes) }),
        ...(edgeAttributes && { edgeFeatures: featuresOf(edgeAttributes, own) }),
        ...(target && { target }),
      },
      `${name}, graph ${g + 1}`,
    );
  });
  return { graphs, classes };
}

function tableOf(text: string, name: string, whole: boolean): Table {
  const lines = linesOf(text);
  const rows = lines.map(({ fields, line }) =>
    fields.map((field) => (whole ? wholeNumber : finiteNumber)(field, `${name}, line ${line}`)),
  );
  const bad = rows.findIndex((row) => row.length !== rows[0]?.length);
  if (bad >= 0)
    fail(
      "file",
      `${name}, line ${lines[bad]?.line}: ${rows[bad]?.length} numbers, but ${rows[0]?.length} in the lines before`,
    );
  return { name, rows, lines: lines.map(({ line }) => line) };
}

/** The graph of each edge. */
function ownersOfEdges({ name, rows, lines }: Table, owners: readonly number[]): number[] {
  return rows.map(([from, to, ...rest], k) => {
    const where = `${name}, line ${lines[k]}`;
    if (from === undefined || to === undefined || rest.length > 0) return fail("file", `${where}: expected two nodes`);
    for (const node of [from, to])
      if (node < 1 || node > owners.length)
        fail("file", `${where}: node ${node} is outside 1 to ${owners.length}, the lines of the graph indicator`);
    const graph = owners[from - 1] as number;
    if (graph !== owners[to - 1]) fail("file", `${where}: nodes ${from} and ${to} are of different graphs`);
    return graph;
  });
}

/** Each graph must have a node: a line that names graph 10^9 must not make room for as many. */
function checkEvery(owners: readonly number[], count: number, name: string): void {
  const present = new Set(owners);
  if (present.size === count) return;
  let empty = 0;
  while (present.has(empty)) empty++;
  fail("file", `${name}: graph ${empty + 1} has not a node`);
}

/** What belongs to each of `count` graphs, by index. */
function members(owners: readonly number[], count: number): number[][] {
  const found = Array.from({ length: count }, (): number[] => []);
  for (const [i, graph] of owners.entries()) found[graph]?.push(i);
  return found;
}

function checkRows(table: Table | undefined, count: number, what: string): Table | undefined {
  if (table && table.rows.length !== count)
    fail("file", `${table.name}: ${table.rows.length} lines for ${count} ${what}; expected one for each`);
  return table;
}

/** Labels of some rows, counted from the smallest of the whole file. */
function typesOf({ rows }: Table, own: readonly number[]): Int32Array {
  const least = rows.reduce((min, [label]) => Math.min(min, label as number), Number.POSITIVE_INFINITY);
  return Int32Array.from(own, (i) => (rows[i]?.[0] as number) - least);
}

function featuresOf({ rows }: Table, own: readonly number[]): NDArray {
  return NDArray.from(
    own.flatMap((i) => rows[i] as number[]),
    "float32",
    [own.length, rows[0]?.length ?? 0],
  );
}

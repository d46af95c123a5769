/** Graphs as JSON: an object a graph, with numbers of nodes and pairs of edges, and what they have. */
import { fail, NDArray } from "../../tensor/index.js";
import { type Data, Place } from "../json-place.js";
import { type Graph, graph } from "./graph.js";

const keys = [
  "nodes",
  "edges",
  "undirected",
  "nodeTypes",
  "nodeFeatures",
  "edgeTypes",
  "edgeFeatures",
  "nodeTargets",
  "target",
] as const;

/**
 * Graphs from parsed JSON, one or a list:
 *
 *   { "nodes": 3, "edges": [[0, 1], [1, 2]], "undirected": true, "nodeTypes": [0, 1, 0], "edgeTypes": [2, 2],
 *     "nodeFeatures": [[0.5], [1], [2]], "edgeFeatures": […], "nodeTargets": [0, 0, 1], "target": [0.3] }
 *
 * Only nodes and edges must be there. Throws with the file and the key for anything else, and as `graph` does.
 */
export function graphsFromJson(value: unknown, name = "graphs"): Graph[] {
  if (!Array.isArray(value)) return [oneGraph(value, new Place(name))];
  return value.map((one, i) => oneGraph(one, new Place(`${name}, graph ${i}`)));
}

function oneGraph(value: unknown, place: Place): Graph {
  const data = place.object(value, "graph");
  for (const key of Object.keys(data))
    if (!keys.includes(key as (typeof keys)[number]))
      place.refuse(key, `there is no such key; expected ${keys.slice(0, -1).join(", ")} or ${keys.at(-1)}`);
  const edges = place.array(data.edges, "edges").map((pair, k): [number, number] => {
    const [from, to, ...rest] = wholeNumbers(place, pair, `edges[${k}]`);
    if (from === undefined || to === undefined || rest.length > 0)
      return place.refuse(`edges[${k}]`, "expected a pair [source, destination]");
    return [from, to];
  });
  if (data.undirected !== undefined && typeof data.undirected !== "boolean")
    place.refuse("undirected", `expected true or false, got ${typeof data.undirected}`);
  const attributes = {
    undirected: data.undirected === true,
    ...types(place, data, "nodeTypes"),
    ...types(place, data, "edgeTypes"),
    ...types(place, data, "nodeTargets"),
    ...features(place, data, "nodeFeatures"),
    ...features(place, data, "edgeFeatures"),
    ...(data.target !== undefined && { target: numbers(place, data.target, "target") }),
  };
  try {
    return graph(data.nodes as number, edges, attributes);
  } catch (error) {
    return fail("file", `${place.where}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

function types(
  place: Place,
  data: Data,
  key: "nodeTypes" | "edgeTypes" | "nodeTargets",
): Partial<Record<string, Int32Array>> {
  return data[key] === undefined ? {} : { [key]: Int32Array.from(wholeNumbers(place, data[key], key)) };
}

function features(place: Place, data: Data, key: "nodeFeatures" | "edgeFeatures"): Partial<Record<string, NDArray>> {
  if (data[key] === undefined) return {};
  const rows = place.array(data[key], key).map((row, i) => numbers(place, row, `${key}[${i}]`));
  const width = rows[0]?.length ?? 0;
  const bad = rows.findIndex((row) => row.length !== width);
  if (bad >= 0) place.refuse(`${key}[${bad}]`, `${rows[bad]?.length} numbers, but ${width} in the rows before`);
  return { [key]: NDArray.from(rows.flat(), "float32", [rows.length, width]) };
}

function numbers(place: Place, value: unknown, key: string): number[] {
  return place.array(value, key).map((x, i) => {
    if (typeof x !== "number") return place.refuse(`${key}[${i}]`, `expected a number, got ${JSON.stringify(x)}`);
    return x;
  });
}

function wholeNumbers(place: Place, value: unknown, key: string): number[] {
  return numbers(place, value, key).map((x, i) =>
    Number.isInteger(x) ? x : place.refuse(`${key}[${i}]`, `expected a whole number, got ${x}`),
  );
}

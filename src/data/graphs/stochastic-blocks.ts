/** Random graphs with communities: tasks whose answer is known. */
import { fail, philoxUniform } from "../../tensor/index.js";
import { type Graph, graph } from "./graph.js";

export interface StochasticBlockOptions {
  /** Nodes of each community. */
  readonly sizes: readonly number[];
  /** Probability of an edge between two nodes of one community. */
  readonly inside: number;
  /** Probability of an edge between two nodes of different ones. */
  readonly across: number;
  readonly seed: number;
  /** Which graph of this seed (default 0). */
  readonly index?: number;
}

/**
 * An undirected stochastic block model without self-loops, its nodes shuffled; `nodeTargets` are the communities. Throws
 * for no or empty communities and probabilities outside [0, 1]. Source: "Stochastic blockmodels: First steps", 1983.
 */
export function stochasticBlockModel({ sizes, inside, across, seed, index = 0 }: StochasticBlockOptions): Graph {
  if (sizes.length === 0 || sizes.some((size) => !Number.isInteger(size) || size < 1))
    fail(
      "argument",
      `stochasticBlockModel: expected communities of at least one node, got sizes [${sizes.join(", ")}]`,
    );
  for (const [name, p] of Object.entries({ inside, across }))
    if (!(p >= 0 && p <= 1))
      fail("argument", `stochasticBlockModel: expected ${name} to be a probability in [0, 1], got ${p}`);
  const draw = (site: string, count: number): Float32Array =>
    philoxUniform({ seed, site: `stochastic block model: ${site}`, step: index }, count);
  const communities = shuffled(
    sizes.flatMap((size, community) => Array<number>(size).fill(community)),
    draw(
      "order",
      sizes.reduce((a, b) => a + b, 0),
    ),
  );
  const n = communities.length;
  const chance = draw("edges", n * n);
  const edges: [number, number][] = [];
  for (let i = 0; i < n; i++)
    for (let j = i + 1; j < n; j++)
      if ((chance[i * n + j] as number) < (communities[i] === communities[j] ? inside : across)) edges.push([i, j]);
  return graph(n, edges, { undirected: true, nodeTargets: Int32Array.from(communities) });
}

export interface ClusterOptions {
  /** Default 3. */
  readonly communities?: number;
  /** Fewest and most nodes of a community (default 8 to 14). */
  readonly size?: readonly [number, number];
  /** Default 0.5. */
  readonly inside?: number;
  /** Default 0.1. */
  readonly across?: number;
  readonly seed: number;
}

/**
 * `count` graphs of the CLUSTER task: one random node of each community shows it, as node type 1 + community, all others
 * have type 0; the task is every node's community. Source: "Benchmarking Graph Neural Networks", 2020, made smaller.
 */
export function clusterGraphs(count: number, options: ClusterOptions): Graph[] {
  const { communities = 3, size: [least, most] = [8, 14], inside = 0.5, across = 0.1, seed } = options;
  if (!(least >= 1 && most >= least))
    fail("argument", `clusterGraphs: expected sizes from low to high, got ${least} to ${most}`);
  return Array.from({ length: count }, (_, index) => {
    const draw = philoxUniform({ seed, site: "cluster graph", step: index }, 2 * communities);
    const sizes = Array.from(draw.subarray(0, communities), (u) => least + Math.floor(u * (most - least + 1)));
    const made = stochasticBlockModel({ sizes, inside, across, seed, index });
    return { ...made, nodeTypes: shown(made.nodeTargets as Int32Array, draw.subarray(communities)) };
  });
}

/** Type 1 + community at the node that `draw` picks in each community, 0 elsewhere. */
function shown(communities: Int32Array, draw: Float32Array): Int32Array {
  const types = new Int32Array(communities.length);
  for (const [community, u] of draw.entries()) {
    const members = Array.from(communities.keys()).filter((node) => communities[node] === community);
    types[members[Math.floor(u * members.length)] as number] = community + 1;
  }
  return types;
}

/** Fisher and Yates's shuffle. */
function shuffled(values: readonly number[], draw: Float32Array): number[] {
  const result = [...values];
  for (let i = result.length - 1; i > 0; i--) {
    const j = Math.floor((draw[i] as number) * (i + 1));
    [result[i], result[j]] = [result[j] as number, result[i] as number];
  }
  return result;
}

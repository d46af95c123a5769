/**
 * Where a node is in its graph: eigenvectors of the graph's Laplacian (A Generalization of Transformer Networks to
 * Graphs, 2020), or its role, the colour that Weisfeiler and Lehman's refinement gives it.
 */
import { md5 } from "@noble/hashes/legacy.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";
import { fail, NDArray } from "../../tensor/index.js";
import { type SymmetricEigen, symmetricEigen } from "../../tensor/linear-algebra.js";
import { type Graph, inDegrees } from "./graph.js";

/**
 * L = I − D^−½ A D^−½ [nodes, nodes], float64: A[i, j] counts the edges j → i, D is the number of edges into a node,
 * at least 1.
 */
export function normalizedLaplacian(graph: Graph): NDArray {
  const { nodes: n, src, dst } = graph;
  const scale = Float64Array.from(inDegrees(graph), (degree) => 1 / Math.sqrt(Math.max(degree, 1)));
  const laplacian = new Float64Array(n * n);
  for (let i = 0; i < n; i++) laplacian[i * n + i] = 1;
  for (let k = 0; k < src.length; k++) {
    const [from, to] = [src[k] as number, dst[k] as number];
    laplacian[to * n + from] = (laplacian[to * n + from] as number) - (scale[to] as number) * (scale[from] as number);
  }
  return new NDArray(laplacian, [n, n], "float64");
}

/** Eigenvalues and eigenvectors of the normalised Laplacian's symmetric part, ascending. */
export const laplacianSpectrum = (graph: Graph): SymmetricEigen =>
  symmetricEigen(symmetricPart(normalizedLaplacian(graph)));

/**
 * Eigenvectors 2 to k + 1 of the normalised Laplacian, by ascending eigenvalue, of unit length: [nodes, k]. Columns that
 * a graph of k nodes or fewer does not have are 0. Signs are arbitrary, and so is the basis where eigenvalues are equal;
 * of several components' zero eigenvalues only the first vector is dropped. Of a directed graph's Laplacian the
 * symmetric part is taken. Throws for k < 1.
 */
export function laplacianPositionalEncoding(graph: Graph, k: number): NDArray {
  if (!Number.isInteger(k) || k < 1)
    fail("argument", `laplacianPositionalEncoding: expected k to be a positive whole number, got ${k}`);
  const { nodes: n } = graph;
  const { vectors } = laplacianSpectrum(graph);
  const encoding = new Float32Array(n * k);
  for (let i = 0; i < n; i++)
    for (let j = 0; j < Math.min(k, n - 1); j++) encoding[i * k + j] = vectors.at(i * n + j + 1);
  return new NDArray(encoding, [n, k], "float32");
}

function symmetricPart(matrix: NDArray): NDArray {
  const [n] = matrix.shape as [number];
  const data = Float64Array.from(
    { length: n * n },
    (_, i) => (matrix.at(i) + matrix.at((i % n) * n + Math.floor(i / n))) / 2,
  );
  return new NDArray(data, [n, n], "float64");
}

/**
 * Roles by colour refinement: all nodes begin with colour 1; in a round each gets the colour of its own and its
 * neighbours' (either direction, each once, sorted as text), where colours are numbered from 1 by the order of their MD5
 * digests. The round in which nothing changes, or that numbered `maxIterations`, is thrown away, as in the authors' code:
 * 2, their choice, leaves one.
 */
export function wlRoles(graph: Graph, { maxIterations = 2 }: { readonly maxIterations?: number } = {}): Int32Array {
  if (!Number.isInteger(maxIterations) || maxIterations < 1)
    fail("argument", `wlRoles: expected maxIterations to be a positive whole number, got ${maxIterations}`);
  const neighbours = neighboursOf(graph);
  let colours = new Int32Array(graph.nodes).fill(1);
  for (let round = 1; round < maxIterations; round++) {
    const next = refined(colours, neighbours);
    if (next.every((colour, node) => colour === colours[node])) break;
    colours = next;
  }
  return colours;
}

function refined(colours: Int32Array, neighbours: readonly ReadonlySet<number>[]): Int32Array<ArrayBuffer> {
  const digests = neighbours.map((around, node) => {
    const others = [...around].map((other) => String(colours[other])).sort();
    return bytesToHex(md5(utf8ToBytes([String(colours[node]), ...others].join("_"))));
  });
  const numbers = new Map([...new Set(digests)].sort().map((digest, i) => [digest, i + 1]));
  return Int32Array.from(digests, (digest) => numbers.get(digest) as number);
}

function neighboursOf({ nodes, src, dst }: Graph): Set<number>[] {
  const found = Array.from({ length: nodes }, () => new Set<number>());
  for (let k = 0; k < src.length; k++) {
    found[src[k] as number]?.add(dst[k] as number);
    found[dst[k] as number]?.add(src[k] as number);
  }
  return found;
}

/** The graph with its Laplacian positions. */
export const withLaplacian = (graph: Graph, k: number): Graph => ({
  ...graph,
  positions: laplacianPositionalEncoding(graph, k),
});

/** The graph with its nodes' roles. */
export const withRoles = (graph: Graph, options?: { readonly maxIterations?: number }): Graph => ({
  ...graph,
  roles: wlRoles(graph, options),
});

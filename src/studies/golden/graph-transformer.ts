/** Graph transformers: single layers over several steps, whole networks, and Laplacian positions with roles. */
import {
  completeGraph,
  type Graph,
  graph,
  laplacianPositionalEncoding,
  laplacianSpectrum,
  normalizedLaplacian,
  padGraphs,
  wlRoles,
} from "../../data/graphs/index.js";
import {
  type GraphTransformer,
  type GraphTransformerOptions,
  graphTransformer,
  type PositionEncoding,
  type Readout,
} from "../../models/index.js";
import { type AnyModule, type GraphNorm, graphInputs, graphTransformerLayer } from "../../nn/index.js";
import { balancedCrossEntropy } from "../../objectives/index.js";
import { fail, NDArray, type Tensor, tensor, training } from "../../tensor/index.js";
import { type GoldenCase, tolerance } from "./case.js";
import type { GoldenKind } from "./index.js";
import { namedGradients, runOnce } from "./run-once.js";

type Arrays = Record<string, NDArray>;

const layer: GoldenKind = {
  matches: (file) => file.has("src", "dst", "graph_id", "p.attention.Q.weight", "s1.h"),
  run: async (file) => {
    const model = graphTransformerLayer({
      dim: file.number("dim"),
      heads: file.number("heads"),
      edgeFeatures: file.has("p.attention.proj_e.weight"),
      norm: normOf(file),
      dropout: file.number("dropout"),
      residual: file.flag("residual"),
      bias: file.flag("use_bias"),
      clamp: file.number("clamp"),
      eps: file.number("z_eps"),
    });
    await load(file, model);
    const graphs = given(file);
    for (let step = 1; file.has(`s${step}.h`); step++) {
      const at = `s${step}.`;
      const weights = { h: tensor(file.take(`${at}w_h`)), e: file.has(`${at}w_e`) && tensor(file.take(`${at}w_e`)) };
      const results = await runOnce({ ...graphs, ...streams(file, at) }, (inputs) =>
        training(() => {
          const { h, e } = inputs as { h: Tensor; e?: Tensor };
          const y = model.apply(h, graphInputs(inputs), e);
          const loss = y.h.mul(weights.h).sum();
          const whole = weights.e && y.e ? loss.add(y.e.mul(weights.e).sum()) : loss;
          const score = model.attention.scores(h, graphInputs(inputs), e);
          return { y_h: y.h, ...(y.e && { y_e: y.e }), score, ...namedGradients(whole, model, { h, ...(e && { e }) }) };
        }),
      );
      const renamed = { ...results, grad_h: results["grad.h"], grad_e: results["grad.e"] } as Arrays;
      compareAll(file, at, { ...renamed, ...(await statistics(model)) });
    }
    const results = await runOnce({ ...graphs, ...streams(file, "eval.") }, (inputs) => {
      const { h, e } = inputs as { h: Tensor; e?: Tensor };
      const y = model.apply(h, graphInputs(inputs), e);
      return { y_h: y.h, ...(y.e && { y_e: y.e }) };
    });
    compareAll(file, "eval.", results);
  },
};

const network: GoldenKind = {
  matches: (file) => file.has("src", "dst", "graph_id", "p.embedding_h.weight", "train.out"),
  run: async (file) => {
    const graphs = graphsOf(file);
    checkEdges(file, graphs);
    checkPositions(file, graphs);
    const sparse = { ...given(file), ...attributes(file) };
    await compareNetwork(file, graphTransformer(optionsOf(file)), sparse);
    if (!file.flag("full_graph")) return;
    // The same without lists of edges: the model completes padded graphs itself.
    const positions = (name: string, i: number, n: number) => rows(file.take(name), starts(graphs)[i] as number, n);
    const withAll = graphs.map((one, i) => ({
      ...one,
      nodeTypes: Int32Array.from(positions("node_type", i, one.nodes).toNumbers()),
      ...(file.has("edge_type") && { edgeTypes: new Int32Array(one.src.length) }),
      ...(file.has("lap_pe") && { positions: positions("lap_pe", i, one.nodes) }),
    }));
    if (file.text("kind") === "graph")
      await compareNetwork(file, graphTransformer({ ...optionsOf(file), attention: "full" }), padGraphs(withAll));
  },
};

/** Training with the given signs, gradients, statistics afterwards, and inference without signs. */
async function compareNetwork(file: GoldenCase, model: GraphTransformer, batch: Arrays): Promise<void> {
  await load(file, model);
  const target = tensor(file.take("target"));
  const signed = batch.positions ? { ...batch, positions: flipped(batch.positions, file.take("sign_flip")) } : batch;
  const results = await runOnce(signed, (inputs) =>
    training(() => {
      const out = model.apply(inputs);
      const loss = lossOf(file, out, target);
      return { "train.out": out, "train.loss": loss, ...namedGradients(loss, model) };
    }),
  );
  compareAll(file, "", results);
  compareAll(file, "after.", await statistics(model));
  const { out } = await runOnce(batch, (inputs) => ({ out: model.apply(inputs) }));
  file.compare("eval.out", out as NDArray);
}

/**
 * A bias in front of a batch norm, or of all keys where no score is clipped, has no effect: its gradient is what rounding
 * left, and has no magnitude of its own.
 */
function compareAll(file: GoldenCase, prefix: string, results: Readonly<Record<string, NDArray | undefined>>): void {
  const gradients = Object.entries(results).filter(([name]) => name.startsWith("grad."));
  const scale = Math.max(...gradients.map(([, value]) => (value ? largest(value) : 0)));
  for (const [name, value] of Object.entries(results)) {
    const theirs = prefix + name;
    if (!value || !file.has(theirs)) continue;
    const expected = largest(file.take(theirs));
    if (name.startsWith("grad.") && name.endsWith(".bias") && expected < 1e-6 * scale)
      file.vanishes(theirs, value, scale);
    else file.compare(theirs, value, takenAway(file, name) ? cancelled(scale / expected) : undefined);
  }
}

/**
 * What the batch norm behind it takes away but for its ε: the gain of a layer norm, and what all edges begin with where
 * they are all alike. Such a gradient is what is left of sums that are as large as the largest ones.
 */
function takenAway(file: GoldenCase, name: string): boolean {
  if (!file.flag("batch_norm")) return false;
  if (name.startsWith("grad.embedding_e."))
    return !file.has("edge_type") || new Set(file.take("edge_type").toNumbers()).size === 1;
  return /^grad\..*layer_norm[12](_[he])?\.(weight|bias)$/.test(name);
}

const cancelled = (ratio: number) => ({
  tolerance: Math.max(tolerance, 2e-6 * ratio),
  because: "what batch norm leaves of larger sums: 2e-6 of the largest gradient",
});

const largest = (array: NDArray): number => array.toNumbers().reduce((max, x) => Math.max(max, Math.abs(x)), 0);

function lossOf(file: GoldenCase, out: Tensor, target: Tensor): Tensor {
  const loss = file.text("loss");
  if (loss === "L1") return out.sub(target).abs().mean();
  if (loss === "class-weighted cross-entropy") return balancedCrossEntropy(out, target);
  return fail("file", `expected the loss "L1" or "class-weighted cross-entropy", got "${loss}"`);
}

const positions: GoldenKind = {
  matches: (file) => file.has("src", "dst", "laplacian", "eigenvalues"),
  run: async (file) => {
    const [n, k] = [file.number("nodes"), file.number("k")];
    const one = graph(n, pairs(file, "src", "dst"));
    file.compare("laplacian", normalizedLaplacian(one));
    file.compare("eigenvalues", laplacianSpectrum(one).values);
    const encoding = laplacianPositionalEncoding(one, k);
    const at = (node: number, i: number): number => encoding.at(node * k + i);
    file.compare("abs_eigenvectors", encoding.toNumbers().map(Math.abs));
    const outer = Array.from({ length: k * n * n }, (_, j) => {
      const i = Math.floor(j / (n * n));
      return at(Math.floor(j / n) % n, i) * at(j % n, i);
    });
    file.compare("outer_products", outer);
    file.compare("wl_role", Array.from(wlRoles(one, { maxIterations: file.number("wl_max_iter") })));
  },
};

export const kinds: readonly GoldenKind[] = [layer, network, positions];

function optionsOf(file: GoldenCase): GraphTransformerOptions {
  const node = weightsOf(file, "embedding_h");
  const edge = file.has("p.embedding_e.weight") ? weightsOf(file, "embedding_e") : undefined;
  return {
    task: file.text("kind") as "node" | "graph",
    layers: file.number("layers"),
    hidden: file.number("hidden"),
    heads: file.number("heads"),
    ...(node.table ? { nodeTypes: node.inputs } : { nodeFeatures: node.inputs }),
    ...(edge &&
      (edge.table
        ? { edgeTypes: edge.inputs }
        : { edgeFeatures: file.has("edge_feature") ? edge.inputs : "constant" })),
    posEnc: encodingOf(file),
    signFlip: false,
    norm: normOf(file),
    residual: !("residual" in file.metadata) || file.flag("residual"),
    bias: file.has("p.layers.0.attention.Q.bias"),
    readout: file.text("readout") as Readout,
    outputs: file.take("train.out").shape.at(-1) as number,
  };
}

function encodingOf(file: GoldenCase): PositionEncoding {
  if (file.has("p.embedding_lap_pos_enc.weight"))
    return { kind: "laplacian", k: weightsOf(file, "embedding_lap_pos_enc").inputs };
  if (!file.has("p.embedding_wl_pos_enc.weight")) return { kind: "none" };
  return { kind: "wl", roles: weightsOf(file, "embedding_wl_pos_enc").inputs };
}

/** A table [inputs, width], or a dense layer [width, inputs] with a bias. */
function weightsOf(file: GoldenCase, name: string): { readonly table: boolean; readonly inputs: number } {
  const { shape } = file.take(`p.${name}.weight`);
  const table = !file.has(`p.${name}.bias`);
  return { table, inputs: shape[table ? 0 : 1] as number };
}

function normOf(file: GoldenCase): GraphNorm {
  const eps = "ln_eps" in file.metadata ? file.number("ln_eps") : 1e-5;
  return {
    ...(file.flag("layer_norm") && { layer: { eps } }),
    ...(file.flag("batch_norm") && { batch: { eps: file.number("bn_eps"), momentum: file.number("bn_momentum") } }),
  };
}

/** The file's parameters, and fresh running statistics. */
async function load(file: GoldenCase, model: AnyModule): Promise<void> {
  model.loadStateDict(new Map([...file.takeAll("p."), ...Object.entries(await statistics(model))]));
}

async function statistics(model: AnyModule): Promise<Arrays> {
  const state = [...(await model.stateDict())];
  return Object.fromEntries(state.filter(([name]) => /\.running_(mean|var)$/.test(name)));
}

const sizesOf = (file: GoldenCase): number[] => JSON.parse(file.text("graph_sizes")) as number[];

const given = (file: GoldenCase): Arrays => ({
  nodes: file.take("graph_id"), // a layer alone does not read it
  src: file.take("src"),
  dst: file.take("dst"),
  graph: file.take("graph_id"),
  sizes: NDArray.from(sizesOf(file)),
});

const streams = (file: GoldenCase, at: string): Arrays => ({
  h: file.take(`${at}h`),
  ...(file.has(`${at}e`) && { e: file.take(`${at}e`) }),
});

const attributes = (file: GoldenCase): Arrays => ({
  nodes: file.take(file.has("node_type") ? "node_type" : "node_feature"),
  ...(file.has("edge_type") && { edges: file.take("edge_type") }),
  ...(file.has("edge_feature") && { edges: file.take("edge_feature") }),
  ...(file.has("lap_pe") && { positions: file.take("lap_pe") }),
  ...(file.has("wl_role") && { roles: file.take("wl_role") }),
});

const pairs = (file: GoldenCase, src: string, dst: string): [number, number][] => {
  const [from, to] = [file.take(src), file.take(dst)];
  return Array.from({ length: from.size }, (_, k) => [from.at(k), to.at(k)]);
};

const starts = (graphs: readonly Graph[]): number[] =>
  graphs.map((_, i) => graphs.slice(0, i).reduce((sum, { nodes }) => sum + nodes, 0));

/** The graphs as they were before any was completed. */
function graphsOf(file: GoldenCase): Graph[] {
  const owner = file.take("graph_id").toNumbers();
  const edges = pairs(file, "sparse.src", "sparse.dst");
  let start = 0;
  return sizesOf(file).map((n, i) => {
    const first = start;
    start += n;
    const own = edges.filter(([from]) => owner[from] === i);
    return graph(
      n,
      own.map(([from, to]) => [from - first, to - first]),
    );
  });
}

/** The edges used are the graphs' own, or all pairs, in any order. */
function checkEdges(file: GoldenCase, graphs: readonly Graph[]): void {
  const used = file.flag("full_graph") ? graphs.map(completeGraph) : graphs;
  const first = starts(graphs);
  const sorted = (edges: readonly (readonly number[])[]): number[] =>
    [...edges].sort(([a = 0, b = 0], [c = 0, d = 0]) => a - c || b - d).flat();
  const ours = used.flatMap(({ src, dst }, i) =>
    Array.from(src, (from, k) => [from + (first[i] as number), (dst[k] as number) + (first[i] as number)]),
  );
  const theirs = sorted(pairs(file, "src", "dst"));
  file.expect("src and dst", sorted(ours), NDArray.from(theirs));
}

/** Their positions v are eigenvectors of our Laplacian, L v = (vᵀ L v) v: true of any sign, and any basis of equal values. */
function checkPositions(file: GoldenCase, graphs: readonly Graph[]): void {
  if (!file.has("lap_pe")) return;
  const [all, first] = [file.take("lap_pe"), starts(graphs)];
  const k = all.shape[1] as number;
  const [left, right]: [number[], number[]] = [[], []];
  for (const [g, one] of graphs.entries()) {
    const [n, L] = [one.nodes, normalizedLaplacian(one)];
    for (let i = 0; i < k; i++) {
      const v = Array.from({ length: n }, (_, node) => all.at(((first[g] as number) + node) * k + i));
      const Lv = v.map((_, row) => v.reduce((sum, x, column) => sum + L.at(row * n + column) * x, 0));
      const value = Lv.reduce((sum, x, row) => sum + x * (v[row] as number), 0);
      left.push(...Lv);
      right.push(...v.map((x) => value * x));
    }
  }
  file.expect("Laplacian times lap_pe", left, NDArray.from(right, "float64"));
}

function flipped(encoding: NDArray, signs: NDArray): NDArray {
  const values = encoding.toNumbers().map((value, i) => value * signs.at(i % signs.size));
  return NDArray.from(values, "float32", encoding.shape);
}

function rows(matrix: NDArray, first: number, count: number): NDArray {
  const width = matrix.shape[1] ?? 1;
  const values = matrix.toNumbers().slice(first * width, (first + count) * width);
  return NDArray.from(values, matrix.dtype, [count, ...matrix.shape.slice(1)]);
}

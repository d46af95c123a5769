/**
 * Graph transformers on small CLUSTER graphs: every node is to be given its community, of which one node each is shown.
 * What the paper compares: attention along edges or to all nodes, with Laplacian positions or without, with batch norm or
 * layer norm. Source: "A Generalization of Transformer Networks to Graphs", 2020, section 4.
 */
import { batchFor, clusterGraphs, type Graph, placeGraph } from "../data/graphs/index.js";
import { keyedPermutation } from "../data/permutation.js";
import { type GraphTransformer, type GraphTransformerOptions, graphTransformer } from "../models/index.js";
import { adam } from "../optim/index.js";
import { compile } from "../runtime/index.js";
import { crossEntropy, grad, type Tensor, training } from "../tensor/index.js";

export interface GraphVariant {
  readonly attention: "sparse" | "full";
  readonly norm: "batch" | "layer";
  /** Laplacian positions or none. */
  readonly positions: boolean;
}

export type GraphVariantName =
  | "sparse, batch norm, positions"
  | "sparse, layer norm, positions"
  | "sparse, batch norm, no positions"
  | "full, batch norm, positions"
  | "full, batch norm, no positions";

export const graphVariants: Readonly<Record<GraphVariantName, GraphVariant>> = {
  "sparse, batch norm, positions": { attention: "sparse", norm: "batch", positions: true },
  "sparse, layer norm, positions": { attention: "sparse", norm: "layer", positions: true },
  "sparse, batch norm, no positions": { attention: "sparse", norm: "batch", positions: false },
  "full, batch norm, positions": { attention: "full", norm: "batch", positions: true },
  "full, batch norm, no positions": { attention: "full", norm: "batch", positions: false },
};

export interface GraphScale {
  readonly layers: number;
  readonly hidden: number;
  readonly heads: number;
  /** Eigenvectors that are positions. */
  readonly k: number;
  readonly train: number;
  readonly test: number;
  readonly batch: number;
  readonly steps: number;
  readonly learningRate: number;
}

/** Some 3 seconds a run on two cores. */
export const graphScale: GraphScale = {
  layers: 4,
  hidden: 32,
  heads: 4,
  k: 4,
  train: 300,
  test: 150,
  batch: 16,
  steps: 250,
  learningRate: 1e-3,
};

export interface GraphRun {
  /** Cross-entropy of each step's batch. */
  readonly losses: readonly number[];
  /** Share of the test graphs' nodes that were given their community; chance is 1/3. */
  readonly accuracy: number;
}

export interface GraphRunOptions {
  readonly seed: number;
  readonly scale?: GraphScale;
  readonly signal?: AbortSignal;
  readonly listen?: (step: number, loss: number) => void;
}

/** Train one variant and test it; data, first values, order and signs follow from the seed. */
export async function trainOnClusters(variant: GraphVariant, options: GraphRunOptions): Promise<GraphRun> {
  const { seed, scale = graphScale } = options;
  const model = graphTransformer({ ...optionsOf(variant, scale), seed });
  const all = clusterGraphs(scale.train + scale.test, { seed }).map((graph) => placeGraph(graph, model.options));
  const [train, test] = [all.slice(0, scale.train), all.slice(scale.train)];
  const losses = await fitGraphs(model, train, { ...options, scale });
  return { losses, accuracy: await nodeAccuracy(model, test, scale.batch) };
}

const optionsOf = ({ attention, norm, positions }: GraphVariant, scale: GraphScale): GraphTransformerOptions => ({
  task: "node",
  nodeTypes: 4,
  outputs: 3,
  layers: scale.layers,
  hidden: scale.hidden,
  heads: scale.heads,
  attention,
  norm,
  eps: 1e-6,
  posEnc: positions ? { kind: "laplacian", k: scale.k } : { kind: "none" },
});

/** Adam on cross-entropy over nodes; the loss of every step. */
async function fitGraphs(
  model: GraphTransformer,
  graphs: readonly Graph[],
  { seed, scale, signal, listen = () => {} }: GraphRunOptions & { readonly scale: GraphScale },
): Promise<number[]> {
  const { batch, steps, learningRate } = scale;
  const optimizer = adam(model.parameters(), { learningRate });
  const step = compile(
    (inputs) =>
      training(() => {
        const loss = nodeLoss(model.apply(inputs), inputs.nodeTargets as Tensor);
        optimizer.update(grad(loss, optimizer.parameters));
        return { loss };
      }),
    { seed },
  );
  const losses: number[] = [];
  const pad = roomFor(graphs);
  const perEpoch = Math.floor(graphs.length / batch);
  for (let i = 0; i < steps; i++) {
    signal?.throwIfAborted();
    const order = keyedPermutation(graphs.length, seed, Math.floor(i / perEpoch));
    const chosen = Array.from({ length: batch }, (_, j) => graphs[order((i % perEpoch) * batch + j)] as Graph);
    losses.push((await step(batchFor(model, chosen, { pad, layout: "padded" }))).loss.item());
    listen(i + 1, losses.at(-1) as number);
  }
  await step.release();
  return losses;
}

/** Over nodes that are real; logits [.., C]. */
const nodeLoss = (logits: Tensor, targets: Tensor): Tensor =>
  crossEntropy(logits.reshape([targets.size, logits.dim(-1)]), targets.reshape([targets.size]));

async function nodeAccuracy(model: GraphTransformer, graphs: readonly Graph[], batch: number): Promise<number> {
  const program = compile((inputs) => {
    const targets = inputs.nodeTargets as Tensor;
    const right = model.apply(inputs).argmax(-1).cast(targets.dtype).equal(targets).cast("float32").sum();
    return { right };
  });
  const pad = roomFor(graphs);
  let right = 0;
  for (const part of parts(graphs, batch))
    right += (await program(batchFor(model, part, { pad, layout: "padded" }))).right.item();
  await program.release();
  return right / graphs.reduce((sum, { nodes }) => sum + nodes, 0);
}

/** Rows for the largest of the graphs: small ones are computed fastest so, and one program serves all batches. */
const roomFor = (graphs: readonly Graph[]) => ({
  nodes: graphs.reduce((most, { nodes }) => Math.max(most, nodes), 0),
  edges: 0,
});

function parts<T>(list: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(list.length / size) }, (_, i) => list.slice(i * size, (i + 1) * size));
}

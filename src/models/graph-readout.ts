/** From a graph's nodes to what is told of it. */
import { type DenseGraphs, type GraphInputs, isDense, Linear, Module, type SparseGraphs } from "../nn/index.js";
import { arange, concat, type Tensor, where, zeros } from "../tensor/index.js";

export type Readout = "mean" | "sum" | "max";

/** d → ⌊d/2⌋ → ⌊d/4⌋ → outputs with ReLU between. */
export class MLPReadout extends Module {
  readonly FC_layers: Linear[];

  constructor(width: number, outputs: number) {
    super();
    const widths = [width, Math.floor(width / 2), Math.floor(width / 4), outputs];
    this.FC_layers = widths.slice(1).map((next, i) => new Linear(widths[i] as number, next));
  }

  override forward(x: Tensor): Tensor {
    return this.FC_layers.reduce((y, layer, i) => layer.apply(i === 0 ? y : y.relu()), x);
  }
}

/** Over the real nodes of each graph: [graphs, d]; 0 for a graph without nodes. */
export function readout(kind: Readout, h: Tensor, graphs: GraphInputs): Tensor {
  if (kind === "max") return isDense(graphs) ? denseMaximum(h, graphs) : sparseMaximum(h, graphs);
  const sum = isDense(graphs) ? realRows(h, graphs).sum(1) : sparseSum(h, graphs);
  return kind === "sum" ? sum : sum.div(graphs.sizes.maximum(1).unsqueeze(-1));
}

/** [h of the source, h of the destination, e] of every edge. */
export function edgeEnds(h: Tensor, e: Tensor | undefined, graphs: GraphInputs): Tensor {
  const [from, to] = isDense(graphs) ? grid(h) : [h.gather(graphs.src), h.gather(graphs.dst)];
  return concat([from, to, ...(e ? [e] : [])], -1);
}

function grid(h: Tensor): [Tensor, Tensor] {
  const [B, N, d] = h.shape as [number, number, number];
  return [h.unsqueeze(1).expand([B, N, N, d]), h.unsqueeze(2).expand([B, N, N, d])];
}

/** Rows that are not real as 0. */
const realRows = (h: Tensor, { nodeMask }: GraphInputs): Tensor => (nodeMask ? where(nodeMask.unsqueeze(-1), h, 0) : h);

const sparseSum = (h: Tensor, graphs: SparseGraphs): Tensor =>
  zeros([graphs.sizes.size, h.dim(-1)], h.dtype).indexAdd(graphs.graph, realRows(h, graphs));

const denseMaximum = (h: Tensor, { nodeMask, sizes }: DenseGraphs): Tensor => largest(h, nodeMask, sizes);

function sparseMaximum(h: Tensor, { graph, sizes, nodeMask }: SparseGraphs): Tensor {
  const own = graph.unsqueeze(0).equal(arange(sizes.size, graph.dtype).unsqueeze(1)); // [graphs, n]
  return largest(h.unsqueeze(0), nodeMask ? own.and(nodeMask.unsqueeze(0)) : own, sizes);
}

/** h [graphs or 1, n, d] where `own` [graphs, n]. */
function largest(h: Tensor, own: Tensor, sizes: Tensor): Tensor {
  const highest = where(own.unsqueeze(-1), h, -1e30).max(1);
  return where(sizes.greater(0).unsqueeze(-1), highest, 0);
}

/** Graphs as data: made, batched, and placed. */
export { type BatchOptions, batchGraphs, type GraphBatch, padGraphs } from "./batch.js";
export { type EdgeListOptions, parseEdgeList } from "./edge-list.js";
export { batchFor, type ModelBatchOptions, placeGraph } from "./for-model.js";
export {
  completeGraph,
  type Graph,
  type GraphAttributes,
  type GraphOptions,
  graph,
  graphFromAdjacency,
  inDegrees,
} from "./graph.js";
export { graphsFromJson } from "./graph-json.js";
export {
  laplacianPositionalEncoding,
  laplacianSpectrum,
  normalizedLaplacian,
  withLaplacian,
  withRoles,
  wlRoles,
} from "./positions.js";
export {
  type ClusterOptions,
  clusterGraphs,
  type StochasticBlockOptions,
  stochasticBlockModel,
} from "./stochastic-blocks.js";
export { parseTUDataset, type TUDataset, type TUPart } from "./tu-dataset.js";

/** What works everywhere: in Node and in the browser. */

export * as adapt from "./adapt/index.js";
export { type BytePairOptions, trainBytePair } from "./data/byte-pair.js";
export {
  type ChatMessage,
  type ChatOptions,
  type ChatTemplate,
  chatTemplate,
  chatTemplateOf,
} from "./data/chat-template.js";
export * as graphs from "./data/graphs/index.js";
export * as images from "./data/images/index.js";
export { type FetchedCheckpoint, type FetchOptions, fetchPretrained } from "./data/pretrained-url.js";
export type { RecordKind, RenderOptions } from "./data/render.js";
export { type SampleBatch, type SampleBatchOptions, sampleBatches } from "./data/sample-batches.js";
export { Samples, type TokenizedSamples, type TokenizeOptions, tokenizeRecords } from "./data/samples.js";
export { text } from "./data/text.js";
export type { TextTokenizer } from "./data/text-tokenizer.js";
export { type TextStream, Tokenizer } from "./data/tokenizer.js";
export * as inspect from "./inspect/index.js";
export * as nn from "./neural.js";
export * as optim from "./optim/index.js";
export * from "./runtime/index.js";
export * as linalg from "./runtime/linear-algebra.js";
export * from "./tensor/index.js";
export {
  aggregate,
  type FederatedState,
  packFederated,
  unpackFederated,
} from "./train/aggregate.js";
export { type DirichletSplitOptions, dirichletSplit } from "./train/dirichlet-split.js";
export {
  type FederatedAccuracy,
  type FederatedAlgorithm,
  type FederatedOptions,
  type FederatedRound,
  federated,
} from "./train/federated.js";
export type { FederatedClient } from "./train/federated-clients.js";

/** Layers and what to do with them. */
export * from "./attention.js";
export * from "./block.js";
export * from "./convolution.js";
export * from "./dropout.js";
export * from "./embedding.js";
export { type Chained, foldNorms } from "./fold-norms.js";
export * from "./graph-attention.js";
export * from "./graph-inputs.js";
export * from "./graph-transformer-layer.js";
export * from "./image-layers.js";
export { bounded, uninitialized } from "./initial.js";
export * from "./initialization.js";
export { Linear, type LinearOptions } from "./linear.js";
export * from "./mask.js";
export * from "./mlp.js";
export * from "./module.js";
export { type RemoveNormsOptions, removeNorms } from "./norm/fedwon.js";
export * from "./norm/index.js";
export { swapNorms } from "./norm/swap.js";
export { type Observation, observe } from "./observe.js";
export * from "./parametrization.js";
export { foldInputNorms, foldNormScale } from "./placement/fold.js";
export * from "./placement/index.js";
export * from "./placement/pre-rms-norm.js";
export {
  linearWriter,
  type ResidualStream,
  readersOfBlock,
  type StreamModel,
  type StreamReader,
  type StreamWriter,
  writersOfBlock,
} from "./placement/stream.js";
export * from "./positions/index.js";
export * from "./recurrent/index.js";
export { checkHoles, holesOf } from "./region-mask.js";
export * from "./sequential.js";
export { type SideInputs, sideInput, withInputs } from "./side-inputs.js";
export * from "./slab.js";
export * from "./spectral-norm.js";
export { clone } from "./surgery.js";
export { initializeAsTorch } from "./torch-initialization.js";
export * from "./torch-weight-names.js";
export { onWarning, warn } from "./warn.js";
export * from "./weight-compander.js";
export * from "./weight-norm.js";

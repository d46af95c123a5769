export { type AdamOptions, adam, adamW } from "./adam.js";
export { clipByGlobalNorm, type Group, globalNorm, type LearningRate, type Optimizer } from "./optimizer.js";
export { type SgdOptions, sgd } from "./sgd.js";

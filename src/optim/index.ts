export { type AdamOptions, adam, adamW } from "./adam.js";
export * from "./adaptive-clipping.js";
export { type Ema, type EmaOptions, ema } from "./ema.js";
export { type LionOptions, lion } from "./lion.js";
export { isHiddenMatrix, type MuonOptions, type MuonParts, type MuonScale, muon } from "./muon.js";
export { clipByGlobalNorm, type Group, globalNorm, type LearningRate, type Optimizer } from "./optimizer.js";
export { type SgdOptions, sgd } from "./sgd.js";

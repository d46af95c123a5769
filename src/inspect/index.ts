export { type DropEffect, dropEffect } from "./drop-effect.js";
export { diagnosticsCsv, type LayerDiagnostics, layerDiagnostics } from "./layer-diagnostics.js";
export { gradNormByLayer, type LayerStatistics, layerStatistics, residualStats } from "./layer-statistics.js";
export {
  type AngularOptions,
  angularDistance,
  blockInfluence,
  hiddenStates,
  normalizeRows,
  type TokenChoice,
} from "./similarity.js";
export type { Batch, ResidualStack } from "./stack.js";

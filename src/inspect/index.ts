export { type DropEffect, dropEffect, type Metric } from "./drop-effect.js";
export { type Finding, type Inspectable, inspectable, inspectModel, type TensorKind } from "./inspect-model.js";
export { axisNames, inspectOnnx, type OnnxInput, type OnnxInputOptions, onnxInputs, runOnnx } from "./inspect-onnx.js";
export { type LayerCurve, layerCurves } from "./layer-curves.js";
export {
  type DiagnosticsOptions,
  diagnosticsCsv,
  diagnosticsText,
  type LayerDiagnostics,
  layerDiagnostics,
} from "./layer-diagnostics.js";
export { gradNormByLayer, type LayerStatistics, layerStatistics, residualStats } from "./layer-statistics.js";
export { type LogitLens, logitLens } from "./logit-lens.js";
export { type ExternalPlace, withValuesInside } from "./onnx-external.js";
export { type OnnxVerification, verifyOnnx, withProbe } from "./onnx-probe.js";
export {
  type AngularOptions,
  angularDistance,
  blockInfluence,
  hiddenStates,
  normalizeRows,
  type StatesOptions,
  type TokenChoice,
} from "./similarity.js";
export type { Batch, ResidualStack } from "./stack.js";
export {
  decodeOnnx,
  encodeOnnx,
  matchingValues,
  type OnnxKind,
  type OnnxModel,
  type OnnxValue,
  onnxValues,
  tapOnnx,
} from "./tap-onnx.js";
export { rowNorms, type TensorStatistics, tensorStatistics } from "./tensor-statistics.js";

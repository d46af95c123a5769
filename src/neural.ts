/** The `nn` namespace: layers, models and their losses. */
export * from "./models/index.js";
export * from "./nn/index.js";
export * from "./objectives/index.js";
export { crossEntropy } from "./tensor/index.js";

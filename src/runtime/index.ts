import { setEvaluator } from "../tensor/index.js";
import { evaluate } from "./program.js";

setEvaluator(async (tensor) => (await evaluate([tensor]))[0] as Awaited<ReturnType<typeof tensor.data>>);

export type { Backend, BackendName, BackendOptions } from "./backend.js";
export { backendNames, defaultBackend, getBackend } from "./backends.js";
export type { Feed } from "./execute.js";
export type { ExplainOptions, Explanation, ModuleCost } from "./explain.js";
export { decodeProgram, type LoadedProgram, type LoadOptions, load } from "./load.js";
export {
  type CompileOptions,
  compile,
  type Executable,
  evaluate,
  type Inputs,
  type Outputs,
  type Program,
  type Results,
} from "./program.js";
export { setWasmPaths } from "./wasm.js";

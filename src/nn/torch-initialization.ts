import { NDArray, philoxNormal, philoxUniform, type Variable } from "../tensor/index.js";
import { Embedding } from "./embedding.js";
import { Linear } from "./linear.js";
import type { AnyModule } from "./module.js";

/**
 * First values as torch's layers have them, from a seed and the parameters' paths: dense layers U(±1/√inputs), weights
 * and biases, embeddings N(0, 1). For papers that took them as they were.
 */
export function initializeAsTorch(model: AnyModule, { seed = 0 }: { readonly seed?: number } = {}): void {
  const uniform = (variable: Variable | undefined, site: string, bound: number): void =>
    variable?.set(
      new NDArray(
        philoxUniform({ seed, site }, variable.size).map((u) => (2 * u - 1) * bound),
        variable.shape,
        "float32",
      ),
    );
  for (const [path, module] of model.namedModules()) {
    if (module instanceof Embedding && module.weight.trainable)
      module.weight.set(
        new NDArray(philoxNormal({ seed, site: `${path}.weight` }, module.weight.size), module.weight.shape, "float32"),
      );
    if (!(module instanceof Linear)) continue;
    const bound = 1 / Math.sqrt(module.inputs);
    uniform(module.weight, `${path}.weight`, bound);
    uniform(module.bias, `${path}.bias`, bound);
  }
}

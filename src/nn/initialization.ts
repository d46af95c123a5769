/**
 * First values of a whole model, from a seed and the parameters' paths alone, so they do not depend on the order in
 * which it was built: matrices N(0, std), embeddings N(0, embeddingStd), biases 0; norms keep gain 1 and bias 0.
 */
import { fail, NDArray, philoxNormal, type Variable } from "../tensor/index.js";
import { Embedding } from "./embedding.js";
import { Linear } from "./linear.js";
import type { AnyModule } from "./module.js";
import { parametrize } from "./parametrization.js";

export interface InitializationOptions {
  /** Standard deviation of all matrices (default 0.02). */
  readonly std?: number;
  /** Standard deviation of embeddings (default: as the matrices). */
  readonly embeddingStd?: number;
  /**
   * Matrices that write to the residual stream (o_proj, down_proj): as all others ("plain", default), with std / √(2L)
   * for L blocks ("depth-scaled", as GPT-2; it cancels LayerNorm Scaling), or all zero ("zero"; not before an output
   * norm, whose gradient at 0 is 1/√ε times too large).
   */
  readonly outputs?: "plain" | "depth-scaled" | "zero";
  readonly seed?: number;
}

const writesToStream = /(^|\.)(o_proj|down_proj)$/;

/** Throws for a standard deviation that is negative or not finite. */
export function initialize(model: AnyModule, options: InitializationOptions = {}): void {
  const { std = 0.02, embeddingStd = std, outputs = "plain", seed = 0 } = options;
  const modules = [...model.namedModules()];
  const writers = modules.filter(([path]) => writesToStream.test(path)).length; // two for each block
  const outputStd = { plain: std, "depth-scaled": std / Math.sqrt(Math.max(1, writers)), zero: 0 }[outputs];
  for (const [name, value] of Object.entries({ std, embeddingStd, [`outputs "${outputs}"`]: outputStd }))
    if (!Number.isFinite(value) || value < 0)
      fail("argument", `initialize: expected ${name} of at least 0, got ${value}`);
  const draw = (variable: Variable, path: string, deviation: number) =>
    variable.set(
      new NDArray(
        philoxNormal({ seed, site: path }, variable.size).map((z) => z * deviation),
        variable.shape,
        "float32",
      ),
    );
  for (const [path, module] of modules) {
    const at = (name: string) => (path ? `${path}.${name}` : name);
    if (module instanceof Embedding && module.weight.trainable) draw(module.weight, at("weight"), embeddingStd);
    if (!(module instanceof Linear)) continue;
    draw(module.weight, at("weight"), writesToStream.test(path) ? outputStd : std);
    module.bias?.set(NDArray.zeros(module.bias.shape));
  }
}

export interface KaimingOptions {
  /** Which layers with a weight (default: all). */
  readonly query?: string;
  /** What the variance keeps: "fanOut" the gradients' (default, as torchvision's networks), "fanIn" the activations'. */
  readonly mode?: "fanIn" | "fanOut";
  /** Times the standard deviation (default 1). */
  readonly gain?: number;
  readonly seed?: number;
}

/**
 * N(0, gain² 2 / fan) for every layer with a weight that matches, from the seed and the path alone; fan-in counts the numbers that
 * an output is made of, fan-out the outputs that an input reaches (for a convolution's channel and kernel). Source: "Delving
 * Deep into Rectifiers", 2015.
 */
export function kaiming(
  model: AnyModule,
  { query = "**", mode = "fanOut", gain = 1, seed = 0 }: KaimingOptions = {},
): void {
  parametrize(model, query, ({ weight, outputAxis }, path) => {
    const kernel = weight.shape.slice(2).reduce((a, b) => a * b, 1);
    const fan = kernel * weight.dim(mode === "fanOut" ? outputAxis : 1 - outputAxis);
    const deviation = gain * Math.sqrt(2 / fan);
    const site = path ? `${path}.weight` : "weight";
    const values = philoxNormal({ seed, site }, weight.size).map((z) => z * deviation);
    weight.set(new NDArray(values, weight.shape, "float32"));
    return undefined;
  });
}

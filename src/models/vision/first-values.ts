import { type AnyModule, Conv2d, initialize } from "../../nn/index.js";
import { NDArray, philoxNormal, type Variable } from "../../tensor/index.js";

export interface FirstValues {
  /** Standard deviation of matrices, convolutions and tables (default 0.02). */
  readonly std?: number;
  readonly seed?: number;
}

/**
 * First values of a transformer on images: everything N(0, std) from the seed and the parameters' paths alone, biases 0;
 * `tables` are the model's own variables (class token, positions), by path.
 */
export function initializeVision(
  model: AnyModule,
  tables: Readonly<Record<string, Variable | undefined>>,
  { std = 0.02, seed = 0 }: FirstValues = {},
): void {
  initialize(model, { std, seed });
  const draw = (variable: Variable, path: string) =>
    variable.set(
      new NDArray(
        philoxNormal({ seed, site: path }, variable.size).map((z) => z * std),
        variable.shape,
        "float32",
      ),
    );
  for (const [path, variable] of Object.entries(tables)) if (variable) draw(variable, path);
  for (const [path, module] of model.namedModules()) {
    const layer: unknown = module;
    if (!(layer instanceof Conv2d)) continue;
    draw(layer.weight, `${path}.weight`);
    layer.bias?.set(NDArray.zeros(layer.bias.shape));
  }
}

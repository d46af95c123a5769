/** First values of the recurrent layers of a whole model. */
import { fail, NDArray, philoxNormal } from "../../tensor/index.js";
import type { AnyModule } from "../module.js";
import { orthogonalBlocks } from "./orthogonal.js";
import { Recurrent } from "./recurrent.js";

export interface RecurrentInitialization {
  /** Factor on all matrices (default 1); a layer with norms inside hardly notices it. */
  readonly scale?: number;
  readonly seed?: number;
}

/**
 * Every recurrent layer as the authors of Layer Normalization start theirs: input matrices N(0, 1/inputs), recurrent ones
 * orthogonal gate by gate, biases 0 (the forget gate's as its option says), gains 1, learned initial states 0. From the
 * seed and the paths alone. Throws for a scale that is not positive.
 */
export function initializeRecurrent(model: AnyModule, { scale = 1, seed = 0 }: RecurrentInitialization = {}): void {
  if (!(scale > 0 && Number.isFinite(scale)))
    fail("argument", `initializeRecurrent: expected a positive scale, got ${scale}`);
  for (const [path, layer] of model.namedModules()) {
    if (!(layer instanceof Recurrent)) continue;
    for (const { name, variable, recurrent } of layer.matrices()) {
      const drawn = philoxNormal({ seed, site: path ? `${path}.${name}` : name }, variable.size);
      const spread = 1 / Math.sqrt(variable.dim(1));
      const values = recurrent ? orthogonalBlocks(drawn, variable.dim(1)) : drawn.map((z) => z * spread);
      variable.set(
        NDArray.from(
          values.map((w) => w * scale),
          "float32",
          variable.shape,
        ),
      );
    }
    layer.resetVectors();
  }
}

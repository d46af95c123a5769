import type { Chained } from "../fold-norms.js";
import type { AnyModule } from "../module.js";
import { Weighted } from "../parametrization.js";
import { Norm } from "./norm.js";

/** The layers with a weight that a norm follows, in what modules say that they apply one after another. */
export function layersBeforeNorms(model: AnyModule): Set<unknown> {
  const chains = [...model.namedModules().values()].flatMap((module) =>
    "chains" in module ? (module as unknown as Chained).chains() : [],
  );
  return new Set(
    chains.flatMap((chain) =>
      chain.filter((layer: unknown, i) => layer instanceof Weighted && (chain[i + 1] as unknown) instanceof Norm),
    ),
  );
}

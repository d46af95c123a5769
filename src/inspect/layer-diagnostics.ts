/** All per-layer diagnostics of a model in one call, as numbers and as a table. */
import { fail } from "../tensor/index.js";
import { type DropEffect, dropEffect } from "./drop-effect.js";
import { type LayerStatistics, layerStatistics } from "./layer-statistics.js";
import { type AngularOptions, angularDistance, blockInfluence, hiddenStates } from "./similarity.js";
import type { Batch, ResidualStack } from "./stack.js";

export interface LayerDiagnostics extends LayerStatistics {
  readonly angular: readonly (readonly (number | null)[])[];
  readonly influence: readonly number[];
  readonly drop: DropEffect;
}

/** Statistics of the first batch; angular distances and influence of its states; drop effects over all batches. */
export async function layerDiagnostics(
  model: ResidualStack,
  batches: readonly Batch[],
  options: AngularOptions = {},
): Promise<LayerDiagnostics> {
  const [first] = batches;
  if (!first) return fail("argument", "layerDiagnostics: expected at least one batch");
  const statistics = await layerStatistics(model, first);
  const states = await hiddenStates(model, first.tokens);
  return {
    ...statistics,
    angular: angularDistance(states, options),
    influence: blockInfluence(states),
    drop: await dropEffect(model, batches),
  };
}

/** One row per block, comma-separated, with a header. */
export function diagnosticsCsv({
  variance,
  maximum,
  gradientNorm,
  inputGradientNorm,
  influence,
  drop,
  angular,
}: LayerDiagnostics): string {
  const header = "block,variance,maximum,gradient_norm,input_gradient_norm,angular_distance,influence,drop_effect";
  const rows = gradientNorm.map((g, l) =>
    [l, variance[l + 1], maximum[l + 1], g, inputGradientNorm[l], angular[0]?.[l], influence[l], drop.delta[l]].join(
      ",",
    ),
  );
  return [header, ...rows].join("\n");
}

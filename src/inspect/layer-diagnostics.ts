/** All per-layer diagnostics of a model in one call, as numbers and as tables. */
import { fail } from "../tensor/index.js";
import { type DropEffect, dropEffect, type Metric } from "./drop-effect.js";
import { type LayerStatistics, layerStatistics } from "./layer-statistics.js";
import {
  type AngularOptions,
  angularDistance,
  blockInfluence,
  hiddenStates,
  type StatesOptions,
} from "./similarity.js";
import type { Batch, ResidualStack } from "./stack.js";

export interface LayerDiagnostics extends LayerStatistics {
  readonly angular: readonly (readonly (number | null)[])[];
  readonly influence: readonly number[];
  readonly drop: DropEffect;
}

export interface DiagnosticsOptions extends AngularOptions, StatesOptions {
  /** What the drop effect measures (default: the cross-entropy, in nats). */
  readonly metric?: Metric;
}

/**
 * Statistics and gradients of the first batch; angular distances, block influence and drop effects over all batches.
 * Throws where there is no batch, and where a number is not finite, naming the layer.
 */
export async function layerDiagnostics(
  model: ResidualStack,
  batches: readonly Batch[],
  options: DiagnosticsOptions = {},
): Promise<LayerDiagnostics> {
  const [first] = batches;
  if (!first) return fail("argument", "layerDiagnostics: expected at least one batch");
  const statistics = await layerStatistics(model, first);
  const states = await Promise.all(batches.map(({ tokens }) => hiddenStates(model, tokens, options)));
  return {
    ...statistics,
    angular: angularDistance(states, options),
    influence: blockInfluence(states),
    drop: await dropEffect(model, batches, options),
  };
}

const columns = {
  block: (_: LayerDiagnostics, l: number) => l,
  variance: ({ variance }, l) => variance[l + 1],
  maximum: ({ maximum }, l) => maximum[l + 1],
  gradient_norm: ({ gradientNorm }, l) => gradientNorm[l],
  input_gradient_norm: ({ inputGradientNorm }, l) => inputGradientNorm[l],
  angular_distance: ({ angular }, l) => angular[0]?.[l],
  influence: ({ influence }, l) => influence[l],
  drop_effect: ({ drop }, l) => drop.delta[l],
} satisfies Record<string, (diagnostics: LayerDiagnostics, l: number) => number | null | undefined>;

/** One row per block, comma-separated, with a header. */
export function diagnosticsCsv(diagnostics: LayerDiagnostics): string {
  const rows = diagnostics.gradientNorm.map((_, l) => Object.values(columns).map((column) => column(diagnostics, l)));
  return [Object.keys(columns), ...rows].map((row) => row.join(",")).join("\n");
}

/** The same for a terminal, four digits each. */
export function diagnosticsText(diagnostics: LayerDiagnostics): string {
  const rows = diagnostics.gradientNorm.map((_, l) =>
    Object.values(columns).map((column) => {
      const value = column(diagnostics, l) ?? Number.NaN;
      return Number.isInteger(value) ? String(value) : value.toPrecision(4);
    }),
  );
  const names = Object.keys(columns);
  const widths = names.map((name, i) => Math.max(name.length, ...rows.map((row) => (row[i] as string).length)));
  return [names, ...rows].map((row) => row.map((cell, i) => cell.padStart(widths[i] as number)).join("  ")).join("\n");
}

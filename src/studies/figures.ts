/** The pictures that placement studies share, from trained runs. */

import { type PlacementKey, placementTitles, type TrainedRun } from "./laboratory.js";
import { mean } from "./statistics.js";
import type { AngularFigure, BarsFigure, HeatMapFigure, LinesFigure, Series, Subject } from "./study-report.js";

const subject = (placement: PlacementKey): Subject => ({ key: placement, name: placementTitles[placement] });

/** Runs by placement, in the order they were first made. */
function grouped(runs: readonly TrainedRun[]): Map<PlacementKey, TrainedRun[]> {
  const groups = new Map<PlacementKey, TrainedRun[]>();
  for (const run of runs) groups.set(run.placement, [...(groups.get(run.placement) ?? []), run]);
  return groups;
}

export function lossCurves(runs: readonly TrainedRun[], caption: string, title = "Training loss"): LinesFigure {
  const series: Series[] = [...grouped(runs)].map(([placement, group]) => ({
    ...subject(placement),
    runs: group.map(({ losses }) => ({ x: losses.map((_, i) => i + 1), y: losses })),
  }));
  const steps = runs[0]?.losses.length ?? 0;
  return {
    kind: "lines",
    title,
    caption,
    x: { label: "step" },
    y: { label: "loss", unit: "nats per byte" },
    series,
    smooth: Math.max(1, Math.round(steps / 30)),
  };
}

type LayerQuantity = "variance" | "maximum" | "gradientNorm" | "inputGradientNorm";

const quantities: Record<LayerQuantity, { title: string; label: string }> = {
  variance: { title: "Variance of the residual stream", label: "variance" },
  maximum: { title: "Largest activation of the residual stream", label: "largest |activation|" },
  gradientNorm: { title: "Gradient norm of each block's parameters", label: "gradient norm" },
  inputGradientNorm: { title: "Gradient norm at each block's input", label: "gradient norm" },
};

/** Layer × step, geometric mean over seeds: these quantities range over orders of magnitude. */
export function layerHeatMap(runs: readonly TrainedRun[], quantity: LayerQuantity, caption: string): HeatMapFigure {
  const [first] = runs as [TrainedRun];
  const columns = first.history.map(({ step }) => step);
  const rows = (first.history[0]?.statistics[quantity] ?? []).map((_, layer) => layer);
  const cell = (group: readonly TrainedRun[], row: number, column: number): number | null => {
    const values = group.map(({ history }) => history[column]?.statistics[quantity][row] ?? Number.NaN);
    const value = Math.exp(mean(values.map(Math.log)));
    return Number.isFinite(value) && value > 0 ? value : null;
  };
  const { title, label } = quantities[quantity];
  return {
    kind: "heat-map",
    title,
    caption,
    x: { label: "step" },
    y: { label: quantity === "variance" || quantity === "maximum" ? "after block" : "block" },
    value: { label, scale: "log" },
    columns,
    rows,
    panels: [...grouped(runs)].map(([placement, group]) => ({
      ...subject(placement),
      values: rows.map((row) => columns.map((_, column) => cell(group, row, column))),
    })),
  };
}

export function angularMaps(runs: readonly TrainedRun[], caption: string): AngularFigure {
  return {
    kind: "angular-heat-map",
    title: "Angular distance between layers",
    caption,
    panels: [...grouped(runs)].map(([placement, group]) => ({
      ...subject(placement),
      values: (group[0] as TrainedRun).layers.angular.map((row, gap) =>
        row.map((value, layer) =>
          value === null ? null : mean(group.map((run) => run.layers.angular[gap]?.[layer] as number)),
        ),
      ),
    })),
  };
}

export function skipBars(runs: readonly TrainedRun[], caption: string): BarsFigure {
  return {
    kind: "bars",
    title: "Loss when one block is skipped",
    caption,
    x: { label: "block" },
    y: { label: "change of loss", unit: "nats", scale: "symlog" },
    panels: [...grouped(runs)].map(([placement, group]) => ({
      ...subject(placement),
      values: (group[0] as TrainedRun).layers.drop.delta.map((_, block) =>
        mean(group.map((run) => run.layers.drop.delta[block] as number)),
      ),
    })),
  };
}

/** The pictures that placement studies share, from trained runs. */

import type { LayerDiagnostics } from "../inspect/index.js";
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

interface Quantity {
  readonly title: string;
  readonly label: string;
  readonly unit?: string;
  readonly rows: "after block" | "block";
  /** Logarithmic scales average over seeds geometrically: their quantities range over orders of magnitude. */
  readonly scale: "log" | "linear" | "symlog";
  readonly of: (layers: LayerDiagnostics) => readonly (number | null)[];
}

const quantities = {
  variance: {
    title: "Variance of the residual stream",
    label: "variance",
    rows: "after block",
    scale: "log",
    of: (layers) => layers.variance,
  },
  maximum: {
    title: "Largest activation of the residual stream",
    label: "largest |activation|",
    rows: "after block",
    scale: "log",
    of: (layers) => layers.maximum,
  },
  gradientNorm: {
    title: "Gradient norm of each block's parameters",
    label: "gradient norm",
    rows: "block",
    scale: "log",
    of: (layers) => layers.gradientNorm,
  },
  inputGradientNorm: {
    title: "Gradient norm at each block's input",
    label: "gradient norm",
    rows: "block",
    scale: "log",
    of: (layers) => layers.inputGradientNorm,
  },
  angular: {
    title: "Angular distance from each block's input to its output",
    label: "angular distance",
    rows: "block",
    scale: "linear",
    of: (layers) => layers.angular[0] as readonly (number | null)[],
  },
  skip: {
    title: "Loss when one block is skipped, while it trains",
    label: "change of loss",
    unit: "nats",
    rows: "block",
    scale: "symlog",
    of: (layers) => layers.drop.delta,
  },
} satisfies Record<string, Quantity>;

/** Layer × step, the mean over seeds. */
export function layerHeatMap(
  runs: readonly TrainedRun[],
  quantity: keyof typeof quantities,
  caption: string,
): HeatMapFigure {
  const { title, label, unit, rows: side, scale, of }: Quantity = quantities[quantity];
  const [first] = runs as [TrainedRun];
  const columns = first.history.map(({ step }) => step);
  const rows = of((first.history[0] as TrainedRun["history"][number]).layers).map((_, layer) => layer);
  const cell = (group: readonly TrainedRun[], row: number, column: number): number | null => {
    const values = group
      .map(({ history }) => history[column]?.layers)
      .map((layers) => (layers && of(layers)[row]) ?? Number.NaN);
    const value = scale === "log" ? Math.exp(mean(values.map(Math.log))) : mean(values);
    return Number.isFinite(value) && (scale !== "log" || value > 0) ? value : null;
  };
  return {
    kind: "heat-map",
    title,
    caption,
    x: { label: "step" },
    y: { label: side },
    value: { label, ...(unit && { unit }), scale },
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

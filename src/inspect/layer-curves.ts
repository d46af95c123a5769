/** The same tensor of every layer, found by its name. */
import type { Finding } from "./inspect-model.js";
import { type TensorStatistics, tensorStatistics } from "./tensor-statistics.js";

export interface LayerCurve {
  /** With a star for the layer: `model.layers.*.mlp:out`. */
  readonly name: string;
  readonly layers: readonly number[];
  readonly statistics: readonly TensorStatistics[];
}

/** Findings whose names differ in the first number alone, where there are two or more of them. */
export function layerCurves(findings: readonly Finding[]): LayerCurve[] {
  const groups = new Map<string, { layer: number; finding: Finding }[]>();
  for (const finding of findings) {
    const [, before = "", layer, after = ""] = /^(.*?[./])(\d+)(?![\w-])(.*)$/.exec(finding.name) ?? [];
    if (layer === undefined) continue;
    const name = `${before}*${after}`;
    groups.set(name, [...(groups.get(name) ?? []), { layer: Number(layer), finding }]);
  }
  return [...groups]
    .filter(([, group]) => group.length > 1)
    .map(([name, group]) => {
      const sorted = group.toSorted((a, b) => a.layer - b.layer);
      return {
        name,
        layers: sorted.map(({ layer }) => layer),
        statistics: sorted.map(({ finding }) => tensorStatistics(finding.value)),
      };
    });
}

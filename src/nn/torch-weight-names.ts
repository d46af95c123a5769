/** Checkpoints of torch's parametrised layers, under the names that ours have. */
import type { NDArray } from "../tensor/index.js";

/**
 * Spectral norm's `weight_orig`, `weight_u`, `weight_v`, weight norm's `weight_g`, `weight_v`, and spectral norm's newer
 * `parametrizations.weight.original`, `….0._u`, `….0._v` as `weight`, `parametrizations.0.u`, `.v`, `.g`. Other names stay.
 */
export function plainWeightNames(values: ReadonlyMap<string, NDArray>): Map<string, NDArray> {
  return new Map([...values].map(([name, value]) => [renamed(name, values), value]));
}

function renamed(name: string, values: ReadonlyMap<string, NDArray>): string {
  const newer = /^(.*?)parametrizations\.weight\.(original|0\._([uv]))$/.exec(name);
  if (newer) return `${newer[1]}${newer[2] === "original" ? "weight" : `parametrizations.0.${newer[3]}`}`;
  const older = /^(.*?)weight_(orig|u|v|g)$/.exec(name);
  if (!older) return name;
  const [, layer = "", part = ""] = older;
  const isDirection = part === "v" && values.has(`${layer}weight_g`);
  return part === "orig" || isDirection ? `${layer}weight` : `${layer}parametrizations.0.${part}`;
}

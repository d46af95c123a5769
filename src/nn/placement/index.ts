/** Placements by name, and the one function that understands every way to ask for one. */
import { fail } from "../../tensor/errors.js";
import { closest } from "../closest.js";
import { layerNormScaling } from "./layer-norm-scaling.js";
import { mix } from "./mix-ln.js";
import { output } from "./output.js";
import { parallel } from "./parallel.js";
import { peri } from "./peri-ln.js";
import { checkPlacement, type Placement, type PlacementStrategy } from "./placement.js";
import { post } from "./post.js";
import { pre } from "./pre.js";

export type { LayerNormScalingOptions } from "./layer-norm-scaling.js";
export type { MixOptions } from "./mix-ln.js";
export type { OutputGainOptions } from "./peri-ln.js";
export * from "./placement.js";
export * from "./residual.js";
export { layerNormScaling, mix, output, parallel, peri, post, pre };

const named = {
  pre: always(pre),
  post: always(post),
  peri: always(peri),
  output: always(output),
  mix: mix(),
  parallel: always(parallel),
  lns: layerNormScaling(),
  "layer-norm-scaling": layerNormScaling(),
} satisfies Record<string, PlacementStrategy>;

export type PlacementName = keyof typeof named;
export const placementNames = Object.keys(named) as PlacementName[];

/** A name, a value such as `peri()` or `mix({ postLayers: 3 })`, or a function that answers for every block. */
export type PlacementOption = PlacementName | Placement | ((layer: number, depth: number) => PlacementName | Placement);

/** The strategy an option stands for. Throws for unknown names, with the nearest known one. */
export function placementStrategy(option: PlacementOption): PlacementStrategy {
  if (typeof option === "string") return byName(option);
  return (layer, depth) => {
    const answer = typeof option === "function" ? option(layer, depth) : option;
    return checkPlacement(typeof answer === "string" ? byName(answer)(layer, depth) : answer, layer);
  };
}

function byName(name: string): PlacementStrategy {
  if (Object.hasOwn(named, name)) return named[name as PlacementName];
  return fail("argument", `placement: there is no "${name}"${closest(name, placementNames)}`);
}

function always(placement: () => Placement): PlacementStrategy {
  return () => placement();
}

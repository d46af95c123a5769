/** Norms as values: a name, or a function that makes the norm for a width. */
import { fail } from "../../tensor/errors.js";
import { closest } from "../closest.js";
import type { Module } from "../module.js";
import { PRepBN } from "../slab.js";
import { BatchNorm } from "./batch-norm.js";
import type { ChannelAxis } from "./channels.js";
import { EvoNorm } from "./evonorm.js";
import { GroupNorm, instanceNorm } from "./group-norm.js";
import { groupsFor } from "./groups-for.js";
import { LayerNorm } from "./layer-norm.js";
import { PowerNorm } from "./power-norm.js";
import { RMSNorm } from "./rms-norm.js";
import { ScaleNorm } from "./scale-norm.js";
import { UnifiedNorm } from "./unified-norm.js";
import { BatchChannelNorm } from "./weight-standardization.js";

export { type Affine, type ChannelAffine, ChannelScale } from "./affine.js";
export * from "./batch-norm.js";
export * from "./bn-only.js";
export type { ChannelAxis } from "./channels.js";
export * from "./crms-norm.js";
export * from "./evonorm.js";
export * from "./evonorm-graph.js";
export * from "./group-norm.js";
export * from "./ibn-net.js";
export * from "./layer-norm.js";
export { activates, bare, Norm } from "./norm.js";
export * from "./power-norm.js";
export * from "./region-norm.js";
export * from "./rms-norm.js";
export * from "./scale-norm.js";
export * from "./scaled-weight-standardization.js";
export * from "./unified-norm.js";
export * from "./weight-standardization.js";

/**
 * Makes the norm for a width; `axis` says where the channels are (default −1: last), `place` how many norms of the model
 * come before it (given by `swapNorms` alone).
 */
export type NormFactory = (width: number, axis?: ChannelAxis, place?: number) => Module;

/** Norms by name, each with its paper's defaults; `bias` is the model's word on biases in layer norms. */
const named = {
  rms: (width, { axis }) => new RMSNorm(width, { axis }),
  layer: (width, { axis, bias }) => new LayerNorm(width, { axis, bias }),
  batch: (width, { axis }) => new BatchNorm(width, { axis }),
  group: (width, { axis }) => new GroupNorm(groupsFor(width), width, { axis }),
  instance: (width, { axis }) => instanceNorm(width, { axis, affine: true }),
  scale: (width, { axis }) => new ScaleNorm(width, { axis }),
  unified: (width, { axis }) => new UnifiedNorm(width, { axis }),
  power: (width, { axis }) => new PowerNorm(width, { axis }),
  prepbn: (width, { axis }) => new PRepBN(width, { axis }),
  "evonorm-b0": (width, { axis }) => new EvoNorm(width, { kind: "B0", axis }),
  "evonorm-s0": (width, { axis }) => new EvoNorm(width, { kind: "S0", axis }),
  bcn: (width, { axis }) => new BatchChannelNorm(width, { axis }),
} satisfies Record<string, (width: number, options: { readonly axis: ChannelAxis; readonly bias: boolean }) => Module>;

export type NormKind = keyof typeof named;
/** A name, or e.g. `(width, axis) => rmsNorm(width, { eps: 1e-5, axis })`. */
export type NormOption = NormKind | NormFactory;

export const normKinds = Object.keys(named) as NormKind[];

/** `bias`: whether a named LayerNorm has one. Throws for unknown names. */
export function normFactory(option: NormOption, bias = true): NormFactory {
  if (typeof option === "function") return option;
  if (!Object.hasOwn(named, option))
    return fail("argument", `norm: there is no "${option}"${closest(option, normKinds)}`);
  return (width, axis = -1) => named[option](width, { axis, bias });
}

/** Norms as values: a name, or a function that makes the norm for a width. */
import { fail } from "../../tensor/errors.js";
import { closest } from "../closest.js";
import type { Module } from "../module.js";
import { LayerNorm } from "./layer-norm.js";
import { RMSNorm } from "./rms-norm.js";

export * from "./crms-norm.js";
export * from "./layer-norm.js";
export * from "./rms-norm.js";

export type NormFactory = (width: number) => Module;
/** "rms", "layer", or e.g. `(width) => rmsNorm(width, { eps: 1e-5 })`. */
export type NormOption = "rms" | "layer" | NormFactory;

/** `bias`: whether a named LayerNorm has one. Throws for unknown names. */
export function normFactory(option: NormOption, bias = true): NormFactory {
  if (typeof option === "function") return option;
  if (option === "rms") return (width) => new RMSNorm(width);
  if (option === "layer") return (width) => new LayerNorm(width, { bias });
  return fail("argument", `norm: there is no "${option as string}"${closest(option, ["rms", "layer"])}`);
}

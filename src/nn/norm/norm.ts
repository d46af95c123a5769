/** What all norms are to the rest: a width, where the channels are, and whether an activation is part of it. */
import { Module } from "../module.js";
import type { ChannelAxis } from "./channels.js";

export abstract class Norm extends Module {
  /** How many channels are normalised, or undefined where the norm is over several axes: it has no like then. */
  abstract readonly width: number | undefined;
  readonly axis: ChannelAxis = -1;
  /** No activation follows it here: said by the model, kept when norms are swapped. */
  bare = false;
  /** Whether it takes the place of the activation behind it, too (EvoNorm): a model leaves that one out. */
  get activates(): boolean {
    return false;
  }
}

/** Says that no activation follows a norm: one that has its own leaves it out. */
export function bare<M>(norm: M): M {
  if (norm instanceof Norm) norm.bare = true;
  return norm;
}

/** Whether the layer behind a norm should leave its activation out. */
export const activates = (norm: unknown): boolean => norm instanceof Norm && norm.activates;

/** Position values by name. */
import { fail } from "../../tensor/errors.js";
import { closest } from "../closest.js";
import { alibi } from "./alibi.js";
import { learned } from "./learned.js";
import type { Positions } from "./positions.js";
import { rotary } from "./rotary.js";
import { sinusoidal } from "./sinusoidal.js";

export { alibiSlopes } from "./alibi.js";
export type { Place, Positions } from "./positions.js";
export type { RotaryOptions, RotaryScaling } from "./rotary.js";
export * from "./rotary-scaling.js";
export { alibi, learned, rotary, sinusoidal };

const named = { rotary, learned, sinusoidal, alibi, none: (): Positions => ({ name: "none" }) };
export type PositionsName = keyof typeof named;
/** A name, or a value such as `rotary({ base: 500000 })`. */
export type PositionsOption = PositionsName | Positions;

/** Throws for unknown names. */
export function positionsValue(option: PositionsOption): Positions {
  if (typeof option !== "string") return option;
  if (Object.hasOwn(named, option)) return named[option]();
  return fail("argument", `positions: there is no "${option as string}"${closest(option, Object.keys(named))}`);
}

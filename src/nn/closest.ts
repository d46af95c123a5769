import { nearest } from "../tensor/nearest.js";

/** ` (did you mean "pre"? known: …)`: the end of a message about a name that does not exist. */
export function closest(word: string, known: readonly string[]): string {
  const guess = nearest(word, known);
  return ` (${guess === undefined ? "" : `did you mean "${guess}"? `}known: ${known.join(", ")})`;
}

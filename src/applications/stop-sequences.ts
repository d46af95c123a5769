/** Text on its way out, held back as long as it may be the beginning of a stop sequence. */
export interface HeldBack {
  /** `ready`: what can go out now; `isStopped`: a stop sequence has come, and what follows it is dropped. */
  push(piece: string): { readonly ready: string; readonly isStopped: boolean };
  /** What is still held back. */
  rest(): string;
}

export function heldBack(stops: readonly string[]): HeldBack {
  const sequences = stops.filter((stop) => stop !== "");
  let held = "";
  return {
    push(piece) {
      held += piece;
      const ends = sequences.map((stop) => held.indexOf(stop)).filter((at) => at >= 0);
      if (ends.length > 0) return { ready: take(Math.min(...ends)), isStopped: true };
      return { ready: take(held.length - longestBeginning(held, sequences)), isStopped: false };
    },
    rest: () => take(held.length),
  };

  function take(length: number): string {
    const ready = held.slice(0, length);
    held = held.slice(length);
    return ready;
  }
}

/** How many of the last letters of a text begin one of the sequences. */
function longestBeginning(text: string, sequences: readonly string[]): number {
  const longest = Math.max(0, ...sequences.map(({ length }) => length - 1));
  for (let n = Math.min(longest, text.length); n > 0; n--)
    if (sequences.some((stop) => stop.startsWith(text.slice(text.length - n)))) return n;
  return 0;
}

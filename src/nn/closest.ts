/** ` (did you mean "pre"? known: …)`: the end of a message about a name that does not exist. */
export function closest(word: string, known: readonly string[]): string {
  const ranked = known.map((name) => [edits(word.toLowerCase(), name.toLowerCase()), name] as const);
  const [distance, name] = ranked.reduce((best, next) => (next[0] < best[0] ? next : best));
  const guess = distance <= Math.ceil(word.length / 2) ? `did you mean "${name}"? ` : "";
  return ` (${guess}known: ${known.join(", ")})`;
}

/** Levenshtein distance, row by row. */
function edits(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1];
    for (let j = 0; j < b.length; j++) {
      const substitute = (row[j] as number) + Number(letter !== b[j]);
      next.push(Math.min(substitute, (row[j + 1] as number) + 1, (next[j] as number) + 1));
    }
    row = next;
  }
  return row[b.length] as number;
}

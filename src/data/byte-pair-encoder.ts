import { characterOfByte, tokenOfBytes } from "./byte-alphabet.js";
import { PairTable } from "./pair-table.js";
import type { TokenizerModel } from "./tokenizer-file.js";

/**
 * Merges one word's bytes: the pair of the lowest rank first, of equal ones the leftmost, until none is left. Work is
 * quadratic in the word's length, so this is for words, not for texts.
 */
export class BytePairEncoder {
  private readonly table: PairTable;
  /** Rank and result of each pair. */
  private readonly ranks: Int32Array;
  private readonly results: Int32Array;
  /** Byte -> id, -1 without one. */
  private readonly bytes: Int32Array;
  private readonly whole: ReadonlyMap<string, number> | undefined;
  private readonly utf8 = new TextEncoder();

  constructor(model: TokenizerModel) {
    const ids = new Map(Object.entries(model.vocab as Readonly<Record<string, number>>));
    const merges = model.merges ?? [];
    this.table = new PairTable();
    this.ranks = new Int32Array(merges.length);
    this.results = new Int32Array(merges.length);
    merges.forEach((merge, rank) => {
      const [left, right] = (typeof merge === "string" ? merge.split(" ") : merge) as [string, string];
      const pair = this.table.index(ids.get(left) as number, ids.get(right) as number);
      this.ranks[pair] = rank;
      this.results[pair] = ids.get(left + right) as number;
    });
    this.bytes = Int32Array.from(characterOfByte, (code) => ids.get(String.fromCharCode(code)) ?? -1);
    this.whole = model.ignore_merges ? ids : undefined;
  }

  /** Undefined where a byte has no token. */
  encode(word: string): number[] | undefined {
    const bytes = this.utf8.encode(word);
    const token = this.whole?.get(tokenOfBytes(bytes));
    if (token !== undefined) return [token];
    const ids = Array.from(bytes, (byte) => this.bytes[byte] as number);
    if (ids.includes(-1)) return undefined;
    for (let at = this.best(ids); at >= 0; at = this.best(ids)) {
      const pair = this.table.find(ids[at] as number, ids[at + 1] as number);
      ids.splice(at, 2, this.results[pair] as number);
    }
    return ids;
  }

  /** Where the pair to merge next begins, or -1. */
  private best(ids: readonly number[]): number {
    let best = -1;
    let lowest = Number.POSITIVE_INFINITY;
    for (let at = 0; at + 1 < ids.length; at++) {
      const pair = this.table.find(ids[at] as number, ids[at + 1] as number);
      if (pair < 0 || (this.ranks[pair] as number) >= lowest) continue;
      lowest = this.ranks[pair] as number;
      best = at;
    }
    return best;
  }
}

import { type Candidate, PairHeap } from "./pair-heap.js";
import { PairTable, resized } from "./pair-table.js";

/**
 * Byte-pair merges of counted words (Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units",
 * 2016), kept incrementally: every pair has its count and the words it occurs in, so a merge touches those words only.
 *
 * Order and ties are those of Hugging Face's trainer: the most frequent pair, of equal ones that of the smaller ids.
 */
export class PairMerges {
  /** The symbols of word w are symbols[starts[w] .. starts[w] + lengths[w]). */
  private readonly starts: Int32Array;
  private readonly lengths: Int32Array;
  private readonly table = new PairTable();
  private totals = new Float64Array(1 << 12);
  private readonly heap = new PairHeap();
  /** Words in which the merge at hand made a pair, by pair. */
  private made = new Map<number, number[]>();

  /** `symbols` holds the words' symbols one word after the other, and is changed. */
  constructor(
    private readonly symbols: Int32Array,
    lengths: ArrayLike<number>,
    private readonly counts: ArrayLike<number>,
  ) {
    this.lengths = Int32Array.from(lengths);
    this.starts = new Int32Array(this.lengths.length);
    for (let word = 1; word < this.starts.length; word++)
      this.starts[word] = (this.starts[word - 1] as number) + (this.lengths[word - 1] as number);
    this.countPairs();
  }

  /** The pair to merge next, or undefined when none occurs `least` times. */
  next(least: number): Candidate | undefined {
    for (let top = this.heap.pop(); top; top = this.heap.pop()) {
      const count = this.totals[top.pair] as number;
      if (top.count === count) return count >= least ? top : undefined;
      top.count = count;
      if (count > 0) this.heap.push(top);
    }
    return undefined;
  }

  /** Replaces the pair by `merged` in the words it is known to occur in. */
  merge({ left, right, words }: Candidate, merged: number): void {
    for (let i = 0; i < words.length; i++) this.mergeIn(words[i] as number, left, right, merged);
    for (const [pair, found] of this.made) this.queue(pair, found);
    this.made.clear();
  }

  private mergeIn(word: number, left: number, right: number, merged: number): void {
    const { symbols } = this;
    const start = this.starts[word] as number;
    const end = start + (this.lengths[word] as number);
    let write = start;
    for (let read = start; read < end; read++) {
      const symbol = symbols[read] as number;
      if (symbol !== left || read + 1 >= end || symbols[read + 1] !== right) {
        symbols[write++] = symbol;
        continue;
      }
      if (write > start) {
        const previous = symbols[write - 1] as number;
        this.change(previous, left, word, -1);
        this.change(previous, merged, word, 1);
      }
      if (read + 2 < end) {
        const following = symbols[read + 2] as number;
        this.change(right, following, word, -1);
        this.change(merged, following, word, 1);
      }
      symbols[write++] = merged;
      read++;
    }
    this.lengths[word] = write - start;
  }

  private change(left: number, right: number, word: number, sign: 1 | -1): void {
    const pair = this.pairOf(left, right);
    this.totals[pair] = (this.totals[pair] as number) + sign * (this.counts[word] as number);
    if (sign < 0) return;
    const found = this.made.get(pair);
    if (!found) this.made.set(pair, [word]);
    else if (found[found.length - 1] !== word) found.push(word);
  }

  private pairOf(left: number, right: number): number {
    const pair = this.table.index(left, right);
    if (pair >= this.totals.length) this.totals = resized(this.totals, this.totals.length * 2);
    return pair;
  }

  private queue(pair: number, words: ArrayLike<number>): void {
    const count = this.totals[pair] as number;
    const left = this.table.left[pair] as number;
    const right = this.table.right[pair] as number;
    if (count > 0) this.heap.push({ left, right, pair, count, words });
  }

  /** Counts all pairs, then lists each pair's words in one array that is cut up afterwards. */
  private countPairs(): void {
    let lastWord = new Int32Array(1 << 12).fill(-1);
    let sizes = new Float64Array(1 << 12);
    this.eachPair((pair, word) => {
      while (pair >= sizes.length) {
        const known = lastWord.length;
        lastWord = resized(lastWord, known * 2).fill(-1, known);
        sizes = resized(sizes, known * 2);
      }
      this.totals[pair] = (this.totals[pair] as number) + (this.counts[word] as number);
      if (lastWord[pair] === word) return;
      lastWord[pair] = word;
      sizes[pair] = (sizes[pair] as number) + 1;
    });
    const offsets = new Float64Array(this.table.size + 1);
    for (let pair = 0; pair < this.table.size; pair++)
      offsets[pair + 1] = (offsets[pair] as number) + (sizes[pair] as number);
    const words = new Int32Array(offsets[this.table.size] as number);
    const filled = offsets.slice();
    lastWord.fill(-1);
    this.eachPair((pair, word) => {
      if (lastWord[pair] === word) return;
      lastWord[pair] = word;
      words[filled[pair] as number] = word;
      filled[pair] = (filled[pair] as number) + 1;
    });
    for (let pair = 0; pair < this.table.size; pair++)
      this.queue(pair, words.subarray(offsets[pair], offsets[pair + 1]));
  }

  private eachPair(visit: (pair: number, word: number) => void): void {
    for (let word = 0; word < this.starts.length; word++) {
      const start = this.starts[word] as number;
      const last = start + (this.lengths[word] as number) - 1;
      for (let at = start; at < last; at++)
        visit(this.pairOf(this.symbols[at] as number, this.symbols[at + 1] as number), word);
    }
  }
}

/** A pair that may be merged next, and the words it was seen in. */
export interface Candidate {
  readonly left: number;
  readonly right: number;
  /** Index of the pair. */
  readonly pair: number;
  /** How often the pair occurred when this was queued; it may have changed since. */
  count: number;
  readonly words: ArrayLike<number>;
}

/** The most frequent pair first; of equally frequent ones that of the smaller ids. */
const before = (a: Candidate, b: Candidate): boolean =>
  a.count !== b.count ? a.count > b.count : a.left !== b.left ? a.left < b.left : a.right < b.right;

/** A binary heap of candidates. */
export class PairHeap {
  private readonly items: Candidate[] = [];

  push(candidate: Candidate): void {
    const { items } = this;
    let at = items.length;
    items.push(candidate);
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      if (!before(candidate, items[parent] as Candidate)) break;
      items[at] = items[parent] as Candidate;
      at = parent;
    }
    items[at] = candidate;
  }

  pop(): Candidate | undefined {
    const { items } = this;
    const top = items[0];
    const last = items.pop();
    if (items.length === 0 || last === undefined) return top;
    let at = 0;
    for (let child = 1; child < items.length; child = 2 * at + 1) {
      if (child + 1 < items.length && before(items[child + 1] as Candidate, items[child] as Candidate)) child++;
      if (!before(items[child] as Candidate, last)) break;
      items[at] = items[child] as Candidate;
      at = child;
    }
    items[at] = last;
    return top;
  }
}

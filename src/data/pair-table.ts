/** (left, right) -> a dense index, by open addressing in typed arrays: a Map of this many pairs costs ten times more. */
export class PairTable {
  size = 0;
  left: Int32Array;
  right: Int32Array;
  private slots: Int32Array;

  constructor(capacity = 1 << 12) {
    this.left = new Int32Array(capacity);
    this.right = new Int32Array(capacity);
    this.slots = new Int32Array(capacity * 2).fill(-1);
  }

  /** The pair's index, a new one if it is new. */
  index(left: number, right: number): number {
    const slot = this.probe(left, right);
    const found = this.slots[slot] as number;
    if (found >= 0) return found;
    const added = this.size++;
    this.left[added] = left;
    this.right[added] = right;
    this.slots[slot] = added;
    if (this.size === this.left.length) this.grow();
    return added;
  }

  /** The pair's index, -1 for one that is not there. */
  find(left: number, right: number): number {
    return this.slots[this.probe(left, right)] as number;
  }

  /** The pair's slot, or the free one where it would go. */
  private probe(left: number, right: number): number {
    const mask = this.slots.length - 1;
    let slot = hash(left, right) & mask;
    for (let found = this.slots[slot] as number; found >= 0; found = this.slots[slot] as number) {
      if (this.left[found] === left && this.right[found] === right) break;
      slot = (slot + 1) & mask;
    }
    return slot;
  }

  private grow(): void {
    this.left = resized(this.left, this.size * 2);
    this.right = resized(this.right, this.size * 2);
    this.slots = new Int32Array(this.size * 4).fill(-1);
    for (let i = 0; i < this.size; i++) this.slots[this.probe(this.left[i] as number, this.right[i] as number)] = i;
  }
}

function hash(left: number, right: number): number {
  const mixed = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b);
  return mixed ^ (mixed >>> 15);
}

export function resized<T extends Int32Array | Float64Array>(array: T, length: number): T {
  const larger = new (array.constructor as new (length: number) => T)(length);
  larger.set(array);
  return larger;
}

import { hashSite, philox } from "../../tensor/philox.js";

/** What a drawing depends on, and nothing else: not on the worker, nor on what was drawn for other images. */
export interface DrawKey {
  readonly seed: number;
  readonly epoch?: number;
  readonly index?: number;
}

/** Random numbers in a row, from Philox 4x32-10 with the key (seed, site) and the counter (block, index, epoch). */
export class Draws {
  private readonly words = new Uint32Array(4);
  private readonly key1: number;
  private used = 0;
  private spare: number | undefined;

  constructor(
    readonly key: DrawKey,
    site: string,
  ) {
    this.key1 = hashSite(site);
  }

  private word(): number {
    const { seed, epoch = 0, index = 0 } = this.key;
    if (this.used % 4 === 0)
      philox(this.used / 4, index, epoch, Math.floor(seed / 2 ** 32), seed >>> 0, this.key1, this.words);
    return this.words[this.used++ % 4] as number;
  }

  /** Uniform in [low, high). */
  uniform(low = 0, high = 1): number {
    return low + (high - low) * this.word() * 2 ** -32;
  }

  /** A whole number in [low, high]. */
  whole(low: number, high: number): number {
    return low + Math.floor(this.uniform() * (high - low + 1));
  }

  /** Standard normal (Box and Muller). */
  normal(): number {
    const { spare } = this;
    if (spare !== undefined) {
      this.spare = undefined;
      return spare;
    }
    const radius = Math.sqrt(-2 * Math.log((this.word() + 0.5) * 2 ** -32));
    const angle = 2 * Math.PI * this.uniform();
    this.spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }

  /** Gamma with scale 1 (A Simple Method for Generating Gamma Variables, Marsaglia and Tsang, 2000). */
  gamma(shape: number): number {
    if (shape < 1) return this.gamma(shape + 1) * (1 - this.uniform()) ** (1 / shape);
    const d = shape - 1 / 3;
    for (;;) {
      const x = this.normal();
      const v = (1 + x / Math.sqrt(9 * d)) ** 3;
      if (v > 0 && Math.log(1 - this.uniform()) < 0.5 * x * x + d - d * v + d * Math.log(v)) return d * v;
    }
  }

  /** Beta(a, b). */
  beta(a: number, b: number): number {
    const x = this.gamma(a);
    const y = this.gamma(b);
    return x + y > 0 ? x / (x + y) : this.uniform() < 0.5 ? 0 : 1; // both underflow for tiny a, b
  }

  /** 0 … count − 1 in random order (Fisher and Yates). */
  shuffled(count: number): number[] {
    const order = Array.from({ length: count }, (_, i) => i);
    for (let i = count - 1; i > 0; i--) {
      const j = this.whole(0, i);
      [order[i], order[j]] = [order[j] as number, order[i] as number];
    }
    return order;
  }
}

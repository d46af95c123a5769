/** Poisson numbers by inversion; the distribution of each mean is tabled once (bytes have 256 of them). Means to 700. */
export class Poisson {
  private readonly tables = new Map<number, Float64Array>();

  /** The smallest k with P(X <= k) > u. */
  draw(mean: number, u: number): number {
    const table = this.tables.get(mean) ?? cumulative(mean);
    this.tables.set(mean, table);
    let [low, high] = [0, table.length - 1];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((table[middle] as number) > u) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

function cumulative(mean: number): Float64Array {
  const table = new Float64Array(Math.ceil(mean + 10 * Math.sqrt(mean) + 20));
  let [probability, sum] = [Math.exp(-mean), 0];
  for (let k = 0; k < table.length; k++, probability *= mean / k) {
    sum += probability;
    table[k] = sum;
  }
  return table;
}

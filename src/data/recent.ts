/** Keeps the `limit` most recently used results of an asynchronous `make`; a failed one is forgotten. */
export class Recent<K, V> {
  private readonly kept = new Map<K, Promise<V>>();
  constructor(
    private readonly limit: number,
    private readonly make: (key: K) => Promise<V>,
    private readonly drop: (value: V) => Promise<void> | void = () => undefined,
  ) {}

  get(key: K): Promise<V> {
    const found = this.kept.get(key);
    const value = found ?? this.make(key);
    // A Map keeps insertion order: re-inserting makes the first key the least recently used.
    this.kept.delete(key);
    this.kept.set(key, value);
    if (!found) {
      value.catch(() => this.kept.delete(key));
      this.evict();
    }
    return value;
  }

  async clear(): Promise<void> {
    const values = [...this.kept.values()];
    this.kept.clear();
    await Promise.all(values.map((value) => value.then(this.drop, () => undefined)));
  }

  private evict(): void {
    if (this.kept.size <= this.limit) return;
    const [oldest, value] = this.kept.entries().next().value as [K, Promise<V>];
    this.kept.delete(oldest);
    value.then(this.drop).catch(() => undefined);
  }
}

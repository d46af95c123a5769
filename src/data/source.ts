/** Bytes read by position: a string in memory, or files laid end to end. */
export interface ByteSource {
  readonly size: number;
  /** Bytes [start, end), which lie inside the source. */
  read(start: number, end: number): Promise<Uint8Array>;
  /** Where a byte is, for errors: "corpus.txt, byte 12". */
  locate(position: number): string;
  close(): Promise<void>;
}

/** A stretch of a source: a document, or a part of one. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

export function memorySource(bytes: Uint8Array, name: string): ByteSource {
  return {
    size: bytes.length,
    read: async (start, end) => bytes.subarray(start, end),
    locate: (position) => `${name}, byte ${position}`,
    close: async () => undefined,
  };
}

/** Spans of a source laid end to end: the training or the validation text. */
export class SpanReader {
  /** `offsets[i]` is where span i begins here; one more entry holds the total. */
  private readonly offsets: Float64Array;
  constructor(
    readonly source: ByteSource,
    readonly spans: readonly Span[],
  ) {
    this.offsets = new Float64Array(spans.length + 1);
    spans.forEach(({ start, end }, i) => {
      this.offsets[i + 1] = (this.offsets[i] as number) + end - start;
    });
  }

  get size(): number {
    return this.offsets[this.spans.length] as number;
  }

  async read(start: number, end: number): Promise<Uint8Array> {
    const result = new Uint8Array(end - start);
    let position = start;
    for (let i = findSpan(this.offsets, start); position < end; i++) {
      const { start: from, end: to } = this.spans[i] as Span;
      const begin = from + position - (this.offsets[i] as number);
      const stop = Math.min(to, begin + end - position);
      result.set(await this.source.read(begin, stop), position - start);
      position += stop - begin;
    }
    return result;
  }
}

/** The last i with offsets[i] <= position, by bisection. */
export function findSpan(offsets: Float64Array, position: number): number {
  let low = 0;
  let high = offsets.length - 2;
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    if ((offsets[middle] as number) <= position) low = middle;
    else high = middle - 1;
  }
  return low;
}

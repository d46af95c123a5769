/**
 * Walks a struct of Thrift's compact protocol without building it, so that a Parquet header that claims a list of 2³¹
 * entries is refused before a parser makes room for it. Only what Parquet uses: booleans, integers, doubles, binaries,
 * lists and structs.
 */

const maxDepth = 32;

export type ThriftFields = ReadonlyMap<number, number | ThriftFields>;

/** Where the struct at `offset` ends, and its integers (as numbers) and structs by field. Throws RangeError past `bytes`. */
export function walkThrift(bytes: Uint8Array, offset: number): { end: number; fields: ThriftFields } {
  const walk = new Walk(bytes, offset);
  const fields = walk.struct(0);
  return { end: walk.offset, fields };
}

class Walk {
  constructor(
    private readonly bytes: Uint8Array,
    public offset: number,
  ) {}

  struct(depth: number): Map<number, number | ThriftFields> {
    if (depth > maxDepth) throw new RangeError(`headers nested deeper than ${maxDepth} levels`);
    const fields = new Map<number, number | ThriftFields>();
    let field = 0;
    for (let head = this.byte(); head !== 0; head = this.byte()) {
      const step = head >> 4;
      field = step ? field + step : this.zigzag();
      const value = this.value(head & 15, depth);
      if (value !== undefined) fields.set(field, value);
    }
    return fields;
  }

  private value(type: number, depth: number): number | ThriftFields | undefined {
    switch (type) {
      case 1:
      case 2:
        return type === 1 ? 1 : 0;
      case 3:
        return this.byte();
      case 4:
      case 5:
      case 6:
        return this.zigzag();
      case 7:
        return this.skip(8);
      case 8:
        return this.skip(this.varint());
      case 9:
        return this.list(depth);
      case 12:
        return this.struct(depth + 1);
      default:
        throw new RangeError(`a header field of unknown type ${type}`);
    }
  }

  private list(depth: number): undefined {
    const head = this.byte();
    const size = head >> 4 === 15 ? this.varint() : head >> 4;
    const type = head & 15;
    // Every entry takes a byte at least.
    if (size > this.bytes.length - this.offset) throw new RangeError(`a header list of ${size} entries`);
    // A boolean in a list is a byte, in a field it is the type itself.
    for (let i = 0; i < size; i++) this.value(Math.max(type, 3), depth + 1);
  }

  private byte(): number {
    const byte = this.bytes[this.offset++];
    if (byte === undefined) throw new RangeError("a header that ends early");
    return byte;
  }

  private skip(length: number): undefined {
    this.offset += length;
    if (this.offset > this.bytes.length) throw new RangeError("a header that ends early");
  }

  private varint(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      if (scale > 2 ** 63) throw new RangeError("a header number of more than 64 bits");
      const byte = this.byte();
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  }

  private zigzag(): number {
    const value = this.varint();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }
}

/**
 * ONNX bytes to a message. The bytes are walked first, without making anything: a length that leaves its message, a field of
 * another wire type, endless nesting, and messages so many and so small that they would take far more memory than the file
 * are refused with the byte where they are. (Protocol Buffers, Encoding, 2024.)
 */
import { type DescField, type DescMessage, fromBinary, ScalarType } from "@bufbuild/protobuf";
import { fail } from "../../tensor/index.js";
import { type ModelProto, ModelProtoSchema } from "./onnx_pb.js";

/** As deep as the decoder goes. Graphs in graphs nest five messages each. */
const maxDepth = 100;
/** What decoded messages may take: this much, or so many times the file. */
const freeBytes = 2 ** 28;
const largestRatio = 16;
/** About what the engine's heap takes for a message, a field, and a number of a packed list (less its bytes in the file). */
const cost = { message: 256, field: 32, number: 24 } as const;

const wire = { varint: 0, eight: 1, bytes: 2, four: 5 } as const;

/** Throws a "file" error that begins with `source` and names the byte, for what is no whole ONNX file. */
export function decodeModel(bytes: Uint8Array, source: string): ModelProto {
  new Walk(bytes, source).message(ModelProtoSchema, 0, bytes.length, 0);
  try {
    return fromBinary(ModelProtoSchema, bytes);
  } catch (cause) {
    return fail("file", `${source}: not a whole ONNX file (${cause instanceof Error ? cause.message : cause})`, {
      cause,
    });
  }
}

class Walk {
  private made = 0;
  private readonly most: number;
  constructor(
    private readonly bytes: Uint8Array,
    private readonly source: string,
  ) {
    this.most = Math.max(freeBytes, largestRatio * bytes.length);
  }

  message(type: DescMessage, start: number, end: number, depth: number): void {
    if (depth >= maxDepth) this.refuse(start, `${type.name} is nested deeper than ${maxDepth} levels`);
    const fields = fieldsOf(type);
    this.take(start, cost.message);
    for (let at = start; at < end; ) {
      const [tag, body] = this.varint(at, end);
      const [number, kind] = [Math.floor(tag / 8), tag % 8];
      if (number < 1 || number >= 2 ** 29) this.refuse(at, `${number} is no number of a field`);
      at = this.field(fields.get(number), { at, body, end, kind, depth, name: `field ${number} of ${type.name}` });
    }
  }

  /** The byte behind it. */
  private field(field: DescField | undefined, place: Place): number {
    const { at, body, end, kind, name } = place;
    this.take(at, cost.field);
    if (field && kind !== wireOf(field) && !(kind === wire.bytes && isPackable(field)))
      this.refuse(at, `${name} has the wire type ${kind}; expected ${wireOf(field)}`);
    if (kind === wire.varint) return this.varint(body, end)[1];
    if (kind === wire.eight || kind === wire.four)
      return this.within(at, body + (kind === wire.eight ? 8 : 4), end, name);
    if (kind !== wire.bytes) return this.refuse(at, `${name} has the wire type ${kind}, which ONNX has not`);
    const [length, from] = this.varint(body, end);
    const to = this.within(at, from + length, end, name);
    if (field?.message) this.message(field.message, from, to, place.depth + 1);
    else if (field && isPackable(field)) this.packed(field, from, to);
    return to;
  }

  private packed(field: DescField, from: number, to: number): void {
    const kind = wireOf(field);
    if (kind === wire.varint) {
      for (let at = from; at < to; ) at = this.varint(at, to)[1];
      this.take(from, cost.number * (to - from));
    } else if ((to - from) % (kind === wire.eight ? 8 : 4) !== 0)
      this.refuse(from, `a list of ${field.name} of ${to - from} bytes, which is no whole number of them`);
  }

  private within(at: number, to: number, end: number, name: string): number {
    return to <= end ? to : this.refuse(at, `${name} ends at byte ${to}, what holds it at ${end}; is the file whole?`);
  }

  /** Value (beyond 2^53 rounded) and the byte behind it. */
  private varint(start: number, end: number): [value: number, next: number] {
    let value = 0;
    for (let i = 0; i < 10; i++) {
      if (start + i >= end) return this.refuse(start, "a number is cut; is the file whole?");
      const byte = this.bytes[start + i] as number;
      value += (byte & 127) * 128 ** i;
      if (byte < 128) return [value, start + i + 1];
    }
    return this.refuse(start, "a number of more than ten bytes");
  }

  private take(at: number, bytes: number): void {
    this.made += bytes;
    if (this.made > this.most)
      this.refuse(at, `so far ${this.bytes.length} bytes would take more than ${this.most} in memory; refused`);
  }

  private refuse(at: number, problem: string): never {
    return fail("file", `${this.source}: not a whole ONNX file: byte ${at}: ${problem}`);
  }
}

interface Place {
  /** Where the field begins, where its value does, and where its message ends. */
  readonly at: number;
  readonly body: number;
  readonly end: number;
  readonly kind: number;
  readonly depth: number;
  readonly name: string;
}

const known = new WeakMap<DescMessage, ReadonlyMap<number, DescField>>();
function fieldsOf(type: DescMessage): ReadonlyMap<number, DescField> {
  const fields = known.get(type) ?? new Map(type.fields.map((field) => [field.number, field]));
  known.set(type, fields);
  return fields;
}

/** Of one value, outside a packed list. */
function wireOf(field: DescField): number {
  if (field.message) return wire.bytes;
  switch (field.scalar) {
    case ScalarType.STRING:
    case ScalarType.BYTES:
      return wire.bytes;
    case ScalarType.DOUBLE:
      return wire.eight;
    case ScalarType.FLOAT:
      return wire.four;
    default:
      return wire.varint;
  }
}

const isPackable = (field: DescField): boolean => field.fieldKind === "list" && wireOf(field) !== wire.bytes;

/**
 * Records of TensorBoard's event files, as TFRecord frames them (all numbers little-endian):
 *
 *   uint64 length | uint32 masked crc32c of the length | data | uint32 masked crc32c of the data
 *
 * and the few messages of `event.proto` and `summary.proto` that scalars need, with TensorBoard's field numbers.
 */
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { crc32 } from "../runtime/checksum.js";

/** CRC-32C (Castagnoli): not the polynomial of zip files. */
export const crc32c = crc32(0x82f63b78);

/** Turned by 15 bits plus a constant, so that a checksum of data that holds checksums stays useful. */
export function maskedCrc32c(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

export function frame(data: Uint8Array): Uint8Array {
  const record = new Uint8Array(16 + data.length);
  const view = new DataView(record.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, maskedCrc32c(record.subarray(0, 8)), true);
  record.set(data, 12);
  view.setUint32(12 + data.length, maskedCrc32c(data), true);
  return record;
}

/** What an event says, besides when: exactly one of these. */
export type EventContent =
  | { readonly fileVersion: string }
  /** A run starts at `step`: readers forget what earlier files say of this step and later ones. */
  | { readonly start: true }
  | { readonly scalars: readonly (readonly [tag: string, value: number])[] };

const field = { wallTime: 1, step: 2, fileVersion: 3, summary: 5, sessionLog: 7 } as const;
const startStatus = 1;

/** `Event`: the wall time in seconds, the step, and its content. */
export function encodeEvent(wallTime: number, step: number, content: EventContent): Uint8Array {
  const writer = new BinaryWriter();
  writer.tag(field.wallTime, WireType.Bit64).double(wallTime);
  if (step !== 0) writer.tag(field.step, WireType.Varint).int64(step);
  if ("fileVersion" in content) writer.tag(field.fileVersion, WireType.LengthDelimited).string(content.fileVersion);
  else if ("start" in content) {
    writer.tag(field.sessionLog, WireType.LengthDelimited).fork();
    writer.tag(1, WireType.Varint).int32(startStatus).join();
  } else {
    writer.tag(field.summary, WireType.LengthDelimited).fork();
    for (const [tag, value] of content.scalars) encodeScalar(writer, tag, value);
    writer.join();
  }
  return writer.finish();
}

/** `Summary.Value`: tag = 1, simple_value = 2, a float32. */
function encodeScalar(writer: BinaryWriter, tag: string, value: number): void {
  writer.tag(1, WireType.LengthDelimited).fork();
  writer.tag(1, WireType.LengthDelimited).string(tag);
  // The writer refuses finite numbers that float32 cannot hold; a loss of 1e39 is as infinite as a reader can see.
  writer.tag(2, WireType.Bit32).float(Math.fround(value)).join();
}

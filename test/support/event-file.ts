import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";

export interface ReadEvent {
  wallTime: number;
  step: number;
  fileVersion?: string;
  /** Status of a session log: 1 starts a session. */
  session?: number;
  scalars?: Record<string, number>;
}

/** CRC-32C bit by bit, straight from its definition, so that it shares nothing with the code under test. */
function slowCrc(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes)
    for (let bit = 0; bit < 8; bit++) crc = ((crc ^ (byte >> bit)) & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1) >>> 0;
  return ~crc >>> 0;
}

const masked = (bytes: Uint8Array): number => {
  const crc = slowCrc(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
};

/** The whole records of a file; a torn one at the end is left out, a checksum that is wrong throws. */
export function readRecords(file: Uint8Array): Uint8Array[] {
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const records: Uint8Array[] = [];
  for (let at = 0; at + 12 <= file.length; ) {
    const length = Number(view.getBigUint64(at, true));
    if (view.getUint32(at + 8, true) !== masked(file.subarray(at, at + 8))) throw new Error(`length at ${at}`);
    if (at + 16 + length > file.length) break;
    const data = file.subarray(at + 12, at + 12 + length);
    if (view.getUint32(at + 12 + length, true) !== masked(data)) throw new Error(`data at ${at}`);
    records.push(data);
    at += 16 + length;
  }
  return records;
}

export const readEvents = (file: Uint8Array): ReadEvent[] => readRecords(file).map(decode);

function decode(data: Uint8Array): ReadEvent {
  const event: ReadEvent = { wallTime: 0, step: 0 };
  fields(data, (number, reader) => {
    if (number === 1) event.wallTime = reader.double();
    else if (number === 2) event.step = Number(reader.int64());
    else if (number === 3) event.fileVersion = reader.string();
    else if (number === 5) event.scalars = summary(reader.bytes());
    else if (number === 7) fields(reader.bytes(), (_, inner) => (event.session = inner.int32()));
    else throw new Error(`field ${number}`);
  });
  return event;
}

function summary(data: Uint8Array): Record<string, number> {
  const scalars: Record<string, number> = {};
  fields(data, (_, reader) => {
    let [tag, value] = ["", 0];
    fields(reader.bytes(), (number, inner) => {
      if (number === 1) tag = inner.string();
      else value = inner.float();
    });
    scalars[tag] = value;
  });
  return scalars;
}

function fields(data: Uint8Array, visit: (number: number, reader: BinaryReader) => void): void {
  const reader = new BinaryReader(data);
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    if (type === WireType.StartGroup) throw new Error("a group");
    visit(number, reader);
  }
}

/** The chunks of a PNG, held against the file before anything is unpacked, and without those that no pixel needs. */
import { Unzlib } from "fflate";
import { fail } from "../../tensor/errors.js";

/** More pixels than any camera takes; a header that claims more is hostile. */
export const maxPixels = 100_000_000;
/** Pictures pack 2 to 100 times. Past both bounds one is taken for a bomb, as gzip files are. */
const freePixels = 2 ** 25;
const largestRatio = 200;
/** Deflate packs at most 1,032 to 1. */
const densest = 1032;
const freeBytes = 2 ** 27;
const channelsOf: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };

/** What pixels are made of: profiles and texts could unpack to anything. */
const needed = ["IHDR", "PLTE", "tRNS", "IDAT", "IEND"];

export interface CheckedPng {
  readonly width: number;
  readonly height: number;
  readonly bytes: Uint8Array;
}

interface Header {
  readonly width: number;
  readonly height: number;
  /** Bytes of the unpacked rows. */
  readonly raw: number;
}

/**
 * Lengths inside the file, one header, a size its data can have, an end.
 *
 * @throws LayerwiseError "file" with the name and the byte.
 */
export function checkPng(bytes: Uint8Array, name: string): CheckedPng {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const refuse = (at: number, problem: string): never => fail("file", `${name}, byte ${at}: ${problem}`);
  const kept = [bytes.subarray(0, 8)];
  const pixels: Uint8Array[] = [];
  let header: Header | undefined;
  for (let at = 8; ; ) {
    if (at + 12 > bytes.length) return refuse(at, "the PNG ends here, before its IEND chunk");
    const length = view.getUint32(at);
    const kind = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (length > bytes.length - at - 12)
      return refuse(at, `chunk "${kind}" of ${length} bytes; ${bytes.length - at - 12} are left`);
    if (header && kind === "IHDR") refuse(at, "a second IHDR chunk; expected one");
    if (kind === "PLTE" && length > 768) refuse(at, `a palette of ${length} bytes; expected at most 768`);
    header ??= pngHeader(view, kind, length, name);
    if (needed.includes(kind)) kept.push(bytes.subarray(at, at + length + 12));
    if (kind === "IDAT") pixels.push(bytes.subarray(at + 8, at + 8 + length));
    if (kind === "IEND") {
      checkPacked(pixels, header, name);
      return { width: header.width, height: header.height, bytes: joined(kept) };
    }
    at += length + 12;
  }
}

function pngHeader(view: DataView, kind: string, length: number, name: string): Header {
  if (kind !== "IHDR" || length !== 13 || view.byteLength < 33)
    return fail("file", `${name}, byte 8: expected a PNG's IHDR chunk of 13 bytes, got "${kind}" of ${length}`);
  const [width, height, depth, color] = [view.getUint32(16), view.getUint32(20), view.getUint8(24), view.getUint8(25)];
  if (width * height === 0 || width * height > maxPixels)
    fail("file", `${name}, byte 16: ${width} x ${height} pixels; expected 1 to ${maxPixels} in all`);
  const channels = channelsOf[color] ?? fail("file", `${name}, byte 25: ${color} is no colour type of PNG`);
  if (depth < 8 && view.getUint8(28) !== 0)
    fail("file", `${name}, byte 28: interlaced pixels of ${depth} bits are not read; save it without interlacing`);
  return { width, height, raw: height * (1 + Math.ceil((width * depth * channels) / 8)) };
}

function checkPacked(pixels: readonly Uint8Array[], { width, height, raw }: Header, name: string): void {
  const packed = pixels.reduce((sum, { length }) => sum + length, 0);
  const refuse = (problem: string): never =>
    fail("file", `${name}, byte 16: ${problem} ${width} x ${height} pixels; refused`);
  // Packed pixels are hardly longer than plain ones, and no shorter than deflate can make them.
  if (packed > 2 * raw + 4096 || packed * densest < raw) refuse(`${packed} bytes of packed pixels cannot be`);
  if (width * height > Math.max(freePixels, largestRatio * packed))
    refuse(`${packed} bytes of packed pixels would be a bomb of`);
  // Adam7 has up to seven rows for one. What is this short cannot become much; the rest is unpacked and forgotten.
  const most = 2 * raw + 4096;
  if (packed * densest > Math.max(freeBytes, most) && unpackedSize(pixels, most) > most)
    refuse(`${packed} bytes of packed pixels unpack to more than ${most} bytes, which are not`);
}

/** Bytes that unpacking gives, in pieces that are let go, until there are more than `most`. Broken streams end early. */
function unpackedSize(parts: readonly Uint8Array[], most: number): number {
  let size = 0;
  const unpacked = new Unzlib((chunk) => {
    size += chunk.length;
  });
  const piece = 16_384;
  try {
    for (const part of parts)
      for (let at = 0; at < part.length && size <= most; at += piece) unpacked.push(part.slice(at, at + piece));
  } catch {
    // The decoder says what is wrong with it.
  }
  return size;
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

/**
 * PNG and JPEG to pictures. fast-png and jpeg-js are 0.5 MB of plain JavaScript with types, the same in Node, in
 * workers and in the browser, and equal on every machine; sharp is quicker, but is native code for Node alone, and
 * @jsquash's WebAssembly has to be fetched by hand in Node.
 */
import { decode as decodePng } from "fast-png";
import jpeg from "jpeg-js";
import { fail, LayerwiseError } from "../../tensor/errors.js";
import { type Picture, pictureOfPixels } from "./picture.js";

/** More pixels than any camera takes; a header that claims more is hostile. */
const maxPixels = 100_000_000;

const pngMagic = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/**
 * A PNG or JPEG as one grey or three colour planes; transparency is dropped, grey is 0.299 R + 0.587 G + 0.114 B
 * (ITU-R BT.601, as Pillow has it).
 *
 * @throws LayerwiseError "file" with the name and, where it is known, the byte.
 */
export function decodeImage(bytes: Uint8Array, name: string, channels: 1 | 3 = 3): Picture {
  const png = pngMagic.every((byte, i) => bytes[i] === byte);
  if (!png && !(bytes[0] === 0xff && bytes[1] === 0xd8))
    return fail("file", `${name}, byte 0: expected a PNG or JPEG file, got ${hex(bytes.subarray(0, 4))}`);
  try {
    return withChannels(png ? pngPicture(bytes, name) : jpegPicture(bytes), channels);
  } catch (error) {
    if (error instanceof LayerwiseError) throw error;
    const problem = error instanceof Error ? error.message : String(error);
    return fail("file", `${name}: broken ${png ? "PNG" : "JPEG"} of ${bytes.length} bytes (${problem})`, {
      cause: error,
    });
  }
}

function pngPicture(bytes: Uint8Array, name: string): Picture {
  const [width, height] = checkPng(bytes, name);
  const { data, channels, depth, palette } = decodePng(bytes, { checkCrc: true });
  if (palette)
    return pictureOfPixels(
      paletteIndices(data, width, height, depth).flatMap((i) => palette[i]?.slice(0, 3) ?? lost(name, i)),
      { width, height, channels: 3 },
    );
  const full = 2 ** depth - 1;
  // A stream of pixels that ends early decodes to an array that does.
  const expected = depth < 8 ? height * Math.ceil((width * channels * depth) / 8) : width * height * channels;
  if (data.length < expected) fail("file", `${name}: ${data.length} values of pixels; expected ${expected}`);
  const values = depth < 8 ? paletteIndices(data, width, height, depth) : data;
  return pictureOfPixels(values, { width, height, channels: channels < 3 ? 1 : 3, stride: channels }, full);
}

const lost = (name: string, index: number): never =>
  fail("file", `${name}: a pixel has colour ${index}, which the palette does not hold`);

/** Pixels of 1, 2, 4 or 8 bits, rows padded to whole bytes. */
function paletteIndices(data: ArrayLike<number>, width: number, height: number, depth: number): number[] {
  const row = Math.ceil((width * depth) / 8);
  return Array.from({ length: width * height }, (_, i) => {
    const bit = (i % width) * depth;
    const byte = data[Math.floor(i / width) * row + (bit >> 3)] as number;
    return (byte >> (8 - depth - (bit & 7))) & (2 ** depth - 1);
  });
}

/** Deflate packs at most 1,032 to 1. */
const densest = 1032;
const channelsOf: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };

/** Walks the chunks before anything is unpacked: lengths inside the file, a size its data can have, an end. */
function checkPng(bytes: Uint8Array, name: string): [width: number, height: number] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let header: Header | undefined;
  let packed = 0;
  for (let at = 8; ; ) {
    if (at + 12 > bytes.length) return fail("file", `${name}, byte ${at}: the PNG ends here, before its IEND chunk`);
    const length = view.getUint32(at);
    const kind = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (length > bytes.length - at - 12)
      return fail(
        "file",
        `${name}, byte ${at}: chunk "${kind}" of ${length} bytes; ${bytes.length - at - 12} are left`,
      );
    header ??= pngHeader(view, kind, length, name);
    if (kind === "IDAT") packed += length;
    if (kind === "IEND") {
      const { width, height, raw } = header;
      // Packed pixels are hardly longer than plain ones, and no shorter than deflate can make them.
      if (packed > 2 * raw + 4096 || packed * densest < raw)
        fail("file", `${name}: ${packed} bytes of packed pixels cannot be ${width} x ${height} pixels; refused`);
      return [width, height];
    }
    at += length + 12;
  }
}

interface Header {
  readonly width: number;
  readonly height: number;
  /** Bytes of the unpacked rows. */
  readonly raw: number;
}

function pngHeader(view: DataView, kind: string, length: number, name: string): Header {
  if (kind !== "IHDR" || length !== 13 || view.byteLength < 33)
    return fail("file", `${name}, byte 8: expected a PNG's IHDR chunk of 13 bytes, got "${kind}" of ${length}`);
  const [width, height, depth, color] = [view.getUint32(16), view.getUint32(20), view.getUint8(24), view.getUint8(25)];
  if (width * height === 0 || width * height > maxPixels)
    fail("file", `${name}, byte 16: ${width} x ${height} pixels; expected 1 to ${maxPixels} in all`);
  const channels = channelsOf[color] ?? fail("file", `${name}, byte 25: ${color} is no colour type of PNG`);
  return { width, height, raw: height * (1 + Math.ceil((width * depth * channels) / 8)) };
}

function jpegPicture(bytes: Uint8Array): Picture {
  const options = { useTArray: true, maxResolutionInMP: maxPixels / 1e6, maxMemoryUsageInMB: 2048 } as const;
  const { data, width, height } = jpeg.decode(bytes, { ...options, formatAsRGBA: false, tolerantDecoding: false });
  return pictureOfPixels(data, { width, height, channels: 3 });
}

function withChannels(picture: Picture, channels: 1 | 3): Picture {
  if (picture.channels === channels) return picture;
  const { data, height, width } = picture;
  const size = height * width;
  const result = new Float32Array(channels * size);
  for (let i = 0; i < size; i++) {
    const [r, g, b] = [data[i], data[i + size], data[i + 2 * size]] as [number, number, number];
    if (channels === 1) result[i] = 0.299 * r + 0.587 * g + 0.114 * b;
    else for (let c = 0; c < 3; c++) result[c * size + i] = r;
  }
  return { channels, height, width, data: result };
}

const hex = (bytes: Uint8Array): string =>
  bytes.length === 0 ? "an empty file" : Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ");

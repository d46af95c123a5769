/**
 * PNG and JPEG to pictures. fast-png and jpeg-js are 0.5 MB of plain JavaScript with types, the same in Node, in
 * workers and in the browser, and equal on every machine; sharp is quicker, but is native code for Node alone, and
 * @jsquash's WebAssembly has to be fetched by hand in Node.
 */
import { decode as decodePng } from "fast-png";
import jpeg from "jpeg-js";
import { fail, LayerwiseError } from "../../tensor/errors.js";
import { checkJpeg } from "./jpeg.js";
import { type Picture, pictureOfPixels } from "./picture.js";
import { checkPng, maxPixels } from "./png.js";

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
    return withChannels(png ? pngPicture(bytes, name) : jpegPicture(bytes, name), channels);
  } catch (error) {
    if (error instanceof LayerwiseError) throw error;
    const problem = error instanceof Error ? error.message : String(error);
    return fail("file", `${name}: broken ${png ? "PNG" : "JPEG"} of ${bytes.length} bytes (${problem})`, {
      cause: error,
    });
  }
}

function pngPicture(file: Uint8Array, name: string): Picture {
  const { width, height, bytes } = checkPng(file, name);
  const { data, channels, depth, palette } = decodePng(bytes, { checkCrc: true });
  const full = 2 ** depth - 1;
  // A stream of pixels that ends early decodes to an array that does.
  const expected = depth < 8 ? height * Math.ceil((width * channels * depth) / 8) : width * height * channels;
  if (data.length < expected) fail("file", `${name}: ${data.length} values of pixels; expected ${expected}`);
  const values = depth < 8 ? smallPixels(data, width, height, depth) : data;
  if (palette) return pictureOfPixels(coloured(values, palette, name), { width, height, channels: 3 });
  return pictureOfPixels(values, { width, height, channels: channels < 3 ? 1 : 3, stride: channels }, full);
}

/** Places in the palette -> red, green, blue. */
function coloured(indices: ArrayLike<number>, palette: readonly (readonly number[])[], name: string): Uint8Array {
  const values = new Uint8Array(3 * indices.length);
  for (let i = 0; i < indices.length; i++) {
    const index = indices[i] as number;
    const colour = palette[index];
    if (!colour) return fail("file", `${name}: pixel ${i} has colour ${index}, which the palette does not hold`);
    for (let c = 0; c < 3; c++) values[3 * i + c] = colour[c] as number;
  }
  return values;
}

/** Pixels of 1, 2 or 4 bits, rows padded to whole bytes. */
function smallPixels(data: ArrayLike<number>, width: number, height: number, depth: number): Uint8Array {
  const row = Math.ceil((width * depth) / 8);
  return Uint8Array.from({ length: width * height }, (_, i) => {
    const bit = (i % width) * depth;
    const byte = data[Math.floor(i / width) * row + (bit >> 3)] as number;
    return (byte >> (8 - depth - (bit & 7))) & (2 ** depth - 1);
  });
}

function jpegPicture(bytes: Uint8Array, name: string): Picture {
  checkJpeg(bytes, name);
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

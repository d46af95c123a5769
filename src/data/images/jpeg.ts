/** The segments of a JPEG, held against the file before the decoder makes room for what its header claims. */
import { fail } from "../../tensor/errors.js";
import { maxPixels } from "./png.js";

/** Each block of 64 pixels takes at least a bit (ITU-T T.81: a code for its DC coefficient). */
const densest = 512;
/** Writers make one to ten; every one goes over all blocks, in however few bytes. */
const maxScans = 100;

/**
 * One frame of a size its bytes can have, and not too many scans.
 *
 * @throws LayerwiseError "file" with the name and the byte.
 */
export function checkJpeg(bytes: Uint8Array, name: string): void {
  const refuse = (at: number, problem: string): never => fail("file", `${name}, byte ${at}: ${problem}`);
  let [frames, scans] = [0, 0];
  for (let at = 2; at < bytes.length; at++) {
    const kind = bytes[at + 1] as number;
    // Between segments is what a scan holds: FF there is followed by 0, or by a restart.
    if (bytes[at] !== 0xff || kind === 0 || kind === 0xff || (kind >= 0xd0 && kind <= 0xd7)) continue;
    if (kind === 0xd9) break;
    const length = ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number);
    if (!(at + 2 + length <= bytes.length) || length < 2)
      refuse(at, `a segment of ${length} bytes; ${bytes.length - at - 2} are left, is the JPEG whole?`);
    if (kind >= 0xc0 && kind <= 0xc2) {
      if (++frames > 1) refuse(at, "a second frame; expected one");
      checkFrame(bytes, at, length, refuse);
    }
    if (kind === 0xda && ++scans > maxScans) refuse(at, `more than ${maxScans} scans; refused`);
    at += 1 + length;
  }
  if (frames === 0 || scans === 0) refuse(bytes.length, "the JPEG ends here, before its picture");
}

function checkFrame(
  bytes: Uint8Array,
  at: number,
  length: number,
  refuse: (at: number, problem: string) => never,
): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (length < 8) refuse(at, `a frame header of ${length} bytes; expected at least 8`);
  const [height, width, parts] = [view.getUint16(at + 5), view.getUint16(at + 7), view.getUint8(at + 9)];
  if (length !== 8 + 3 * parts || parts < 1 || parts > 4)
    refuse(at, `a frame header of ${length} bytes for ${parts} components`);
  const pixels = width * height;
  if (pixels === 0 || pixels > maxPixels)
    refuse(at + 5, `${width} x ${height} pixels; expected 1 to ${maxPixels} in all`);
  if (pixels > densest * bytes.length)
    refuse(at + 5, `${bytes.length} bytes cannot be ${width} x ${height} pixels; refused`);
  for (let i = 0; i < parts; i++) {
    const sampling = view.getUint8(at + 11 + 3 * i);
    const [across, down] = [sampling >> 4, sampling & 15];
    if (across < 1 || across > 4 || down < 1 || down > 4)
      refuse(at + 11 + 3 * i, `a component sampled ${across} x ${down}; expected 1 to 4`);
  }
}

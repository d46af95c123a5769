/**
 * The byte-level alphabet of GPT-2 (Radford et al., "Language Models are Unsupervised Multitask Learners", 2019): each
 * byte has one printable character, so a token of raw bytes is a string. Bytes that print keep their Latin-1
 * character; the other 68 get U+0100, U+0101, … in order.
 */

const prints = (byte: number): boolean =>
  (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xff && byte !== 0xad);

/** Byte -> its character's code. */
export const characterOfByte: Uint16Array = new Uint16Array(256);
/** Character code -> its byte, or -1 for characters outside the alphabet. */
export const byteOfCharacter: Int16Array = new Int16Array(0x144).fill(-1);

for (let byte = 0, next = 0x100; byte < 256; byte++) {
  const code = prints(byte) ? byte : next++;
  characterOfByte[byte] = code;
  byteOfCharacter[code] = byte;
}

/** The bytes as the vocabulary writes them; for words, which are short. */
export const tokenOfBytes = (bytes: Uint8Array): string =>
  String.fromCharCode(...Array.from(bytes, (byte) => characterOfByte[byte] as number));

/** The bytes a token stands for; undefined when it holds a character outside the alphabet. */
export function bytesOfToken(token: string): Uint8Array | undefined {
  const bytes = new Uint8Array(token.length);
  for (let i = 0; i < token.length; i++) {
    const byte = byteOfCharacter[token.charCodeAt(i)] ?? -1;
    if (byte < 0) return undefined;
    bytes[i] = byte;
  }
  return bytes;
}

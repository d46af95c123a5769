import { fail } from "../tensor/errors.js";
import type { CharacterIndex } from "./characters.js";
import type { SpanReader } from "./source.js";

/** A text as token ids, read by token position. */
export interface TokenStream {
  readonly length: number;
  readonly bytes: number;
  read(start: number, count: number): Promise<Int32Array>;
}

/** How text becomes ids and back. */
export interface Tokens {
  readonly vocabulary: number;
  encode(text: string): Int32Array;
  decode(ids: ArrayLike<number>): string;
}

/** Each byte of the UTF-8 text is a token: 256 of them, nothing is ever unknown. */
export const byteTokens: Tokens = {
  vocabulary: 256,
  encode: (text) => Int32Array.from(new TextEncoder().encode(text)),
  decode(ids) {
    checkIds(ids, 256);
    // Not fatal: a model may well stop in the middle of a character.
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(ids));
  },
};

export const byteStream = (reader: SpanReader): TokenStream => ({
  length: reader.size,
  bytes: reader.size,
  read: async (start, count) => Int32Array.from(await reader.read(start, start + count)),
});

/**
 * Each Unicode code point that occurs in the corpus is a token, numbered in code-point order (tiny Shakespeare: 65).
 * There is no `<unk>`: nothing in the corpus is unknown, and `encode` refuses what the model has never seen.
 */
export function characterTokens(codePoints: readonly number[]): Tokens & { readonly idOf: Int32Array } {
  const idOf = new Int32Array(0x110000).fill(-1);
  codePoints.forEach((code, id) => {
    idOf[code] = id;
  });
  return {
    vocabulary: codePoints.length,
    idOf,
    encode: (text) => {
      const codes = Array.from(text, (character) => character.codePointAt(0) as number);
      return Int32Array.from(codes, (code, i) => {
        const id = idOf[code] as number;
        if (id < 0)
          fail(
            "argument",
            `encode: character ${i} (${JSON.stringify(String.fromCodePoint(code))}) is not among the corpus's ` +
              `${codePoints.length} characters; use tokens: "bytes" for open text`,
          );
        return id;
      });
    },
    decode: (ids) => {
      checkIds(ids, codePoints.length);
      return Array.from(ids, (id) => String.fromCodePoint(codePoints[id] as number)).join("");
    },
  };
}

function checkIds(ids: ArrayLike<number>, vocabulary: number): void {
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i] as number;
    if (!Number.isInteger(id) || id < 0 || id >= vocabulary)
      fail("argument", `decode: id ${id} at position ${i}; expected a whole number from 0 to ${vocabulary - 1}`);
  }
}

/** Characters of a split, found through the index: a window costs about a thousand characters of decoding. */
export function characterStream(reader: SpanReader, index: CharacterIndex, idOf: Int32Array): TokenStream {
  return {
    length: index.count,
    bytes: reader.size,
    async read(start, count) {
      const { from, to, skip } = index.locate(start, count);
      const ids = new Int32Array(count);
      let position = -skip;
      for (const character of new TextDecoder("utf-8", { ignoreBOM: true }).decode(await reader.read(from, to))) {
        if (position >= count) break;
        if (position >= 0) ids[position] = idOf[character.codePointAt(0) as number] as number;
        position++;
      }
      return ids;
    },
  };
}

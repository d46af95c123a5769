import { fail } from "../tensor/errors.js";
import type { SpanReader } from "./source.js";

/** Characters between two remembered byte positions: 8 bytes of index per 1,024 characters, 0.8% of the text. */
const stride = 1024;
const chunkBytes = 1 << 20;

/** Which characters a text holds, and where every 1,024th of them begins. Built in one streaming pass. */
export class CharacterIndex {
  readonly seen = new Uint8Array(0x110000);
  count = 0;
  private readonly marks: number[] = [];
  private constructor(private readonly bytes: number) {}

  /** @throws LayerwiseError "file" naming the file and byte where the text stops being UTF-8. */
  static async build(reader: SpanReader): Promise<CharacterIndex> {
    const index = new CharacterIndex(reader.size);
    let done = 0;
    // Span by span: a character may not continue from one document into the next.
    for (const { start, end } of reader.spans) {
      const decoder = new Utf8Scanner(index.seen, (position) => reader.source.locate(start + position));
      for (let at = start; at < end; at += chunkBytes) {
        const chunk = await reader.source.read(at, Math.min(end, at + chunkBytes));
        index.count = decoder.scan(chunk, index.count, (position) => index.marks.push(done + position));
      }
      decoder.finish();
      done += end - start;
    }
    return index;
  }

  /** Bytes [from, to) hold characters [start, start + count) after `skip` others. */
  locate(start: number, count: number): { from: number; to: number; skip: number } {
    const mark = Math.floor(start / stride);
    const from = this.marks[mark] ?? this.bytes;
    const to = this.marks[Math.ceil((start + count) / stride)] ?? this.bytes;
    return { from, to, skip: start - mark * stride };
  }
}

/** Strict UTF-8 (no overlong forms, no surrogates, nothing above U+10FFFF), fed in chunks. */
class Utf8Scanner {
  private position = 0;
  /** Where the character being read began. */
  private begun = 0;
  private missing = 0;
  private code = 0;
  private least = 0;
  constructor(
    private readonly seen: Uint8Array,
    private readonly locate: (position: number) => string,
  ) {}

  /** Returns the new character count; calls `mark` where a character whose number is a multiple of the stride begins. */
  scan(chunk: Uint8Array, count: number, mark: (position: number) => void): number {
    let characters = count;
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i] as number;
      if (this.missing === 0) {
        if (characters % stride === 0) mark(this.position + i);
        if (byte < 0x80) this.seen[byte] = 1;
        else this.begin(byte, i);
      } else this.continue(byte);
      if (this.missing === 0) characters++;
    }
    this.position += chunk.length;
    return characters;
  }

  finish(): void {
    if (this.missing > 0) this.refuse();
  }

  private begin(byte: number, i: number): void {
    this.begun = this.position + i;
    if (byte < 0xc2 || byte > 0xf4) this.refuse();
    this.missing = byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
    this.least = byte < 0xe0 ? 0x80 : byte < 0xf0 ? 0x800 : 0x10000;
    this.code = byte & (0x3f >> this.missing);
  }

  private continue(byte: number): void {
    if ((byte & 0xc0) !== 0x80) this.refuse();
    this.code = (this.code << 6) | (byte & 0x3f);
    this.missing--;
    if (this.missing > 0) return;
    const { code } = this;
    if (code < this.least || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) this.refuse();
    this.seen[code] = 1;
  }

  private refuse(): never {
    return fail(
      "file",
      `${this.locate(this.begun)}: not valid UTF-8, which all tokens but "bytes" need; convert it, or use tokens: "bytes"`,
    );
  }
}

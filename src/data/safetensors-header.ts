import { fail } from "../tensor/errors.js";

/**
 * The header of a safetensors file, read strictly.
 *
 * `JSON.parse` would hide duplicate keys, drop precision beyond 2^53 and treat `__proto__` specially, so the header's
 * small grammar is parsed by hand: an object of `name -> {dtype, shape, data_offsets}` and `__metadata__` of strings.
 * Nothing nests deeper than that, so neither does the parser.
 */
export interface HeaderEntry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly start: number;
  readonly end: number;
}

export interface Header {
  readonly entries: Map<string, HeaderEntry>;
  readonly metadata: Record<string, string>;
}

/** Arrays of more axes are in no file; what formats, prints or walks a shape would choke on millions. */
const maxAxes = 64;

/** A name as errors give it: as JSON, of one that is long the beginning. */
export const quoted = (name: string): string =>
  name.length <= 200 ? JSON.stringify(name) : `${JSON.stringify(name.slice(0, 200))}… (${name.length} characters)`;

/** The format's own limit, so that a hostile length never becomes an allocation. */
export const maxHeaderBytes = 100_000_000;

/**
 * Header bytes -> entries, syntax only (offsets are checked against the file by `checkLayout`).
 *
 * @throws LayerwiseError "file" with the file's name and the character offset inside the header.
 */
export function parseHeader(bytes: Uint8Array, where: string): Header {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    return fail("file", `${where}: the safetensors header is not valid UTF-8`, { cause });
  }
  return new HeaderParser(text, where).parse();
}

class HeaderParser {
  private position = 0;
  constructor(
    private readonly text: string,
    private readonly where: string,
  ) {}

  parse(): Header {
    if (this.text[0] !== "{") this.refuse('expected the header to begin with "{"');
    const entries = new Map<string, HeaderEntry>();
    let metadata: Record<string, string> | undefined;
    this.object((name) => {
      if (name === "__metadata__") {
        if (metadata) this.refuse('duplicate key "__metadata__"');
        metadata = this.metadata();
      } else {
        if (entries.has(name)) this.refuse(`duplicate tensor ${quoted(name)}`);
        entries.set(name, this.entry(name));
      }
    });
    this.space();
    if (this.position !== this.text.length) this.refuse("expected only spaces after the header's closing brace");
    return { entries, metadata: metadata ?? Object.create(null) };
  }

  private metadata(): Record<string, string> {
    // No prototype: a key such as "__proto__" is then a key like any other.
    const metadata: Record<string, string> = Object.create(null);
    this.object((key) => {
      if (key in metadata) this.refuse(`duplicate metadata key ${quoted(key)}`);
      metadata[key] = this.string(`metadata ${quoted(key)}`);
    });
    return metadata;
  }

  private entry(name: string): HeaderEntry {
    const tensor = `tensor ${quoted(name)}`;
    let dtype: string | undefined;
    let shape: number[] | undefined;
    let offsets: number[] | undefined;
    this.object((key) => {
      if (key === "dtype" && dtype === undefined) dtype = this.string(`${tensor}: dtype`);
      else if (key === "shape" && !shape) shape = this.integers(`${tensor}: shape`);
      else if (key === "data_offsets" && !offsets) offsets = this.integers(`${tensor}: data_offsets`);
      else this.refuse(`${tensor}: unexpected or repeated key ${quoted(key)}`);
    });
    if (dtype === undefined || !shape || !offsets)
      return this.refuse(`${tensor}: expected the keys dtype, shape and data_offsets`);
    const [start, end] = offsets;
    if (offsets.length !== 2 || start === undefined || end === undefined)
      return this.refuse(`${tensor}: data_offsets needs two numbers, got ${offsets.length}`);
    return { dtype, shape, start, end };
  }

  private object(member: (key: string) => void): void {
    this.expect("{");
    if (this.take("}")) return;
    do {
      const key = this.string("key");
      this.expect(":");
      member(key);
    } while (this.take(","));
    this.expect("}");
  }

  private integers(what: string): number[] {
    const values: number[] = [];
    this.expect("[");
    if (this.take("]")) return values;
    do {
      if (values.length === maxAxes) this.refuse(`${what}: more than ${maxAxes} numbers`);
      values.push(this.integer(what));
    } while (this.take(","));
    this.expect("]");
    return values;
  }

  private integer(what: string): number {
    this.space();
    const number = /-?\d[\d.eE+-]*/y;
    number.lastIndex = this.position;
    const digits = number.exec(this.text)?.[0];
    if (digits === undefined) return this.refuse(`${what}: expected a whole number`);
    const value = Number(digits);
    if (!/^(0|[1-9]\d*)$/.test(digits) || !Number.isSafeInteger(value))
      this.refuse(`${what}: expected a whole number from 0 to 2^53 - 1, got ${digits.slice(0, 40)}`);
    this.position += digits.length;
    return value;
  }

  private string(what: string): string {
    this.space();
    const start = this.position;
    if (this.text[start] !== '"') this.refuse(`${what}: expected a string`);
    let escaped = false;
    let end = start + 1;
    for (; ; end++) {
      const code = this.text.charCodeAt(end);
      if (code === 0x22) break;
      // NaN (end of text) fails the comparison too.
      if (!(code >= 0x20)) this.refuse(`${what}: the string is not closed or holds a control character`);
      if (code === 0x5c) {
        escaped = true;
        end++;
      }
    }
    this.position = end + 1;
    if (!escaped) return this.text.slice(start + 1, end);
    return this.unescape(this.text.slice(start, end + 1), what);
  }

  private unescape(literal: string, what: string): string {
    let value: string;
    try {
      value = JSON.parse(literal) as string;
    } catch {
      return this.refuse(`${what}: bad escape in ${literal.slice(0, 80)}`);
    }
    if (/\p{Surrogate}/u.test(value)) this.refuse(`${what}: lone surrogate in ${literal.slice(0, 80)}`);
    return value;
  }

  private space(): void {
    while (isSpace(this.text.charCodeAt(this.position))) this.position++;
  }

  private take(character: string): boolean {
    this.space();
    if (this.text[this.position] !== character) return false;
    this.position++;
    return true;
  }

  private expect(character: string): void {
    if (!this.take(character)) this.refuse(`expected "${character}"`);
  }

  private refuse(message: string): never {
    return fail("file", `${this.where}: safetensors header, offset ${this.position}: ${message}`);
  }
}

const isSpace = (code: number): boolean => code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;

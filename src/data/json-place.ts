import { fail } from "../tensor/errors.js";

export type Data = Readonly<Record<string, unknown>>;

/** Ids lie below this; the largest vocabularies in use have some 260 thousand. */
export const idLimit = 1 << 22;
const maxTokenLength = 4096;

/** Checks values of a file's JSON, and refuses them with the file's name and the key. */
export class Place {
  constructor(readonly where: string) {}

  refuse(key: string, message: string): never {
    return fail("file", `${this.where}: ${key}: ${message}`);
  }

  object(value: unknown, key: string): Data {
    if (typeof value !== "object" || value === null || Array.isArray(value))
      return this.refuse(key, `expected an object, got ${kind(value)}`);
    return value as Data;
  }

  array(value: unknown, key: string): readonly unknown[] {
    return Array.isArray(value) ? value : this.refuse(key, `expected a list, got ${kind(value)}`);
  }

  token(value: unknown, key: string): string {
    if (typeof value !== "string") return this.refuse(key, `expected text, got ${kind(value)}`);
    if (value.length > maxTokenLength)
      this.refuse(key, `a token of ${value.length} characters; expected at most ${maxTokenLength}`);
    if (/\p{Surrogate}/u.test(value))
      this.refuse(key, `${shown(value)} holds half a surrogate pair, which is no character`);
    return value;
  }

  id(value: unknown, key: string): number {
    if (!Number.isInteger(value) || (value as number) < 0 || (value as number) >= idLimit)
      this.refuse(key, `the id is ${shown(value)}; expected a whole number from 0 to ${idLimit - 1}`);
    return value as number;
  }
}

const kind = (value: unknown): string => (value === null ? "null" : Array.isArray(value) ? "a list" : typeof value);
export const shown = (value: unknown): string => JSON.stringify(value)?.slice(0, 80) ?? "undefined";

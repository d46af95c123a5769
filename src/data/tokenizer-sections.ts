import type { Place } from "./json-place.js";

const maxDepth = 32;
const maxNodes = 1 << 20;
const maxPattern = 16_384;
const maxGrowth = 4096;

/** Walks normalizers, splitters, processors and decoders. */
export class SectionCheck {
  private nodes = 0;
  /** How much longer all replacements together could make a text. */
  private growth = 1;
  constructor(private readonly place: Place) {}

  visit(value: unknown, key: string, depth: number): void {
    if (typeof value !== "object" || value === null) return;
    if (depth > maxDepth) this.place.refuse(key, `nested deeper than ${maxDepth} levels`);
    if (++this.nodes > maxNodes) this.place.refuse(key, `more than ${maxNodes} values`);
    for (const [name, part] of Object.entries(value)) {
      const path = `${key}.${name.slice(0, 80)}`;
      if (name === "__proto__" || name === "constructor" || name === "prototype")
        this.place.refuse(path, "this key is not allowed");
      if (name === "Regex") this.pattern(part, path);
      else if ((name === "content" || name === "prepend") && typeof part === "string") this.replacement(part, path);
      this.visit(part, path, depth + 1);
    }
  }

  private pattern(value: unknown, key: string): void {
    const pattern = this.place.token(value, key);
    if (pattern.length > maxPattern) this.place.refuse(key, `a pattern of ${pattern.length} characters`);
    if (backtracks(pattern)) this.place.refuse(key, "a repetition inside a repetition, which may never end; refused");
    if (crowded(pattern)) this.place.refuse(key, `more than ${maxRepetitions} repetitions in a row; refused`);
  }

  private replacement(content: string, key: string): void {
    this.growth *= Math.max(1, content.length);
    if (this.growth > maxGrowth)
      this.place.refuse(key, `replacements could make a text ${this.growth} times as long; at most ${maxGrowth}`);
  }
}

/**
 * Whether a group that may be repeated without limit holds a choice or a repetition of no fixed count: the patterns
 * that can take time exponential in the text. `(?:\d{3})+` is fine, `(a+)+`, `(a|b)*` and `(a?)*` are not.
 */
export function backtracks(pattern: string): boolean {
  const groups: boolean[] = [];
  let varies = false;
  let closed: boolean | undefined;
  for (let i = 0; i < pattern.length; i++) {
    const inner = closed;
    closed = undefined;
    const character = pattern[i] as string;
    if (character === "\\") i++;
    else if (character === "[") i = classEnd(pattern, i);
    else if (character === "(") {
      groups.push(varies);
      varies = false;
      // What follows "(?" says which group it is and repeats nothing.
      if (pattern[i + 1] === "?") i++;
    } else if (character === ")") {
      closed = varies;
      varies = groups.pop() === true || varies;
    } else if (character === "|") varies = groups.length > 0 || varies;
    else {
      const quantifier = /^(?:[*+?]|\{\d*,?\d*\})/.exec(pattern.slice(i, i + 24))?.[0];
      if (quantifier === undefined) continue;
      if (inner === true && /^[*+]$|,\}$/.test(quantifier)) return true;
      if (!/^\{\d+\}$/.test(quantifier)) varies = true;
      i += quantifier.length - 1;
    }
  }
  return false;
}

/** Each repetition without limit may multiply the time by the length of the text; splitters in use have two in a row. */
const maxRepetitions = 4;

/** Whether one alternative holds more than four repetitions without limit, which may take time to that power of the text. */
export function crowded(pattern: string): boolean {
  let repetitions = 0;
  for (let i = 0; i < pattern.length; i++) {
    const character = pattern[i] as string;
    if (character === "\\") i++;
    else if (character === "[") i = classEnd(pattern, i);
    else if (character === "|") repetitions = 0;
    else {
      const repetition = /^(?:[*+]|\{\d*,\})[+?]?/.exec(pattern.slice(i, i + 24))?.[0];
      if (repetition === undefined) continue;
      if (++repetitions > maxRepetitions) return true;
      i += repetition.length - 1;
    }
  }
  return false;
}

/** The place of the bracket that closes the class begun at `start`; classes nest. */
function classEnd(pattern: string, start: number): number {
  let depth = 0;
  for (let i = start; i < pattern.length; i++) {
    if (pattern[i] === "\\") i++;
    else if (pattern[i] === "[") depth++;
    else if (pattern[i] === "]" && --depth === 0) return i;
  }
  return pattern.length;
}

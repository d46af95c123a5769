/**
 * How a family of checkpoints names and lays out the weights of our decoder. One table serves both directions: a rule
 * says which tensor of theirs holds which of ours, and how it is taken apart and put together again. Rules only move
 * numbers, so they serve gradients, too.
 */
import { fail, formatShape, NDArray } from "../../tensor/index.js";

export interface Rule {
  /** Their name; `{l}` stands for a layer's number, `{p}` for "weight" or "bias", `{n}` for any rest of a name. */
  readonly theirs: string;
  /** Our paths, in the order `split` gives them. */
  readonly ours: readonly string[];
  /** Theirs → ours and back (default: the tensor as it is). */
  readonly split?: (value: NDArray) => NDArray[];
  readonly join?: (values: readonly NDArray[]) => NDArray;
}

export interface Layout {
  /** Of the architecture, for messages: "GPT-2". */
  readonly name: string;
  readonly rules: readonly Rule[];
  /** A prefix of their names that files of the bare model lack. */
  readonly prefix?: string;
  /** Their tensors that hold nothing to learn: masks, tables of angles. */
  readonly ignored?: RegExp;
  /** What an older or newer spelling of their names means in this one. */
  readonly rename?: (theirs: string) => string;
}

export const same = (theirs: string, ours = theirs): Rule => ({ theirs, ours: [ours] });

export interface Found {
  readonly rule: Rule;
  readonly ours: readonly string[];
}

const holes = /\{([lpn])\}/g;
const patterns: Readonly<Record<string, string>> = { l: "(?<l>\\d+)", p: "(?<p>weight|bias)", n: "(?<n>.+)" };

/** Finds the rule of one of their names, and our paths; undefined for what holds nothing to learn. Throws for unknown names. */
export function ruleFinder(layout: Layout): (theirs: string) => Found | undefined {
  const match = ruleMatcher(layout);
  return (theirs) => {
    const found = match(theirs);
    if (found === "unknown") return fail("file", `${layout.name} has no tensor "${theirs}"`);
    return found === "ignored" ? undefined : found;
  };
}

/** The same for names that may be of another family. */
export function ruleMatcher(layout: Layout): (theirs: string) => Found | "ignored" | "unknown" {
  const { rules, prefix = "", ignored, rename = (name) => name } = layout;
  const compiled = rules.map((rule) => ({ rule, pattern: expressionOf(rule.theirs) }));
  return (spelled) => {
    const theirs = rename(spelled);
    if (ignored?.test(theirs)) return "ignored";
    for (const { rule, pattern } of compiled) {
      const match = pattern.exec(theirs) ?? pattern.exec(prefix + theirs);
      if (match) return { rule, ours: rule.ours.map((path) => fill(path, match.groups ?? {})) };
    }
    return "unknown";
  };
}

const fill = (template: string, groups: Readonly<Record<string, string>>): string =>
  template.replace(holes, (_, hole: string) => groups[hole] as string);

/** One tensor of theirs as ours, by path. */
export function* splitTensor({ rule, ours }: Found, value: NDArray): Generator<[string, NDArray]> {
  const parts = rule.split?.(value) ?? [value];
  for (const [i, path] of ours.entries()) yield [path, parts[i] as NDArray];
}

/** All tensors of theirs as ours. Throws for names the architecture does not have. */
export function toOurs(layout: Layout, values: Iterable<readonly [string, NDArray]>): Map<string, NDArray> {
  const find = ruleFinder(layout);
  const ours = new Map<string, NDArray>();
  for (const [name, value] of values) {
    const found = find(name);
    if (found) for (const [path, part] of splitTensor(found, value)) ours.set(path, part);
  }
  return ours;
}

/** One tensor of theirs, and what of ours it is made of. */
export interface Made {
  readonly theirs: string;
  readonly ours: readonly string[];
  readonly join: (parts: readonly NDArray[]) => NDArray;
}

/** Ours as theirs. Throws where ours has paths that the architecture knows no name for. */
export function toTheirs({ name, rules }: Layout, paths: ReadonlySet<string>): Made[] {
  const compiled = rules.map((rule) => ({ rule, pattern: expressionOf(rule.ours[0] as string) }));
  const left = new Set(paths);
  const made: Made[] = [];
  for (const path of paths) {
    const known = compiled.find(({ pattern }) => pattern.test(path));
    if (!known) continue;
    const { rule, pattern } = known;
    const groups = pattern.exec(path)?.groups ?? {};
    const ours = rule.ours.map((template) => fill(template, groups));
    for (const own of ours) {
      left.delete(own);
      if (!paths.has(own)) fail("file", `the model has "${path}" but not "${own}", which belong together`);
    }
    const join = (parts: readonly NDArray[]) => rule.join?.([...parts]) ?? (parts[0] as NDArray);
    made.push({ theirs: fill(rule.theirs, groups), ours, join });
  }
  if (left.size > 0)
    fail("file", `${name} has no place for ${[...left].slice(0, 5).join(", ")}: the model is no longer one of it`);
  return made;
}

const expressionOf = (template: string): RegExp =>
  new RegExp(`^${template.replace(/[.]/g, "\\.").replace(holes, (_, hole: string) => patterns[hole] as string)}$`);
/** [in, out] ↔ [out, in]; vectors stay. */
export function transposed(value: NDArray): NDArray {
  if (value.shape.length < 2) return value;
  const [rows, columns] = value.shape as [number, number];
  const from = value.data;
  const to = from.slice();
  // Cell by cell of 32 × 32, so that reads and writes stay in the cache.
  for (let r0 = 0; r0 < rows; r0 += 32)
    for (let c0 = 0; c0 < columns; c0 += 32)
      for (let r = r0; r < Math.min(r0 + 32, rows); r++)
        for (let c = c0; c < Math.min(c0 + 32, columns); c++) to[c * rows + r] = from[r * columns + c] as never;
  return new NDArray(to, [columns, rows], value.dtype);
}

/** Equal parts along the first axis. */
export function parts(value: NDArray, count: number): NDArray[] {
  const [rows = 0, ...rest] = value.shape;
  if (rows % count !== 0) fail("file", `${formatShape(value.shape)} does not fall into ${count} equal parts`);
  const size = value.size / count;
  return Array.from(
    { length: count },
    (_, i) => new NDArray(value.data.slice(i * size, (i + 1) * size), [rows / count, ...rest], value.dtype),
  );
}

/** Arrays below each other. */
export function stacked(values: readonly NDArray[]): NDArray {
  const [first] = values as [NDArray];
  const rows = values.reduce((sum, { shape }) => sum + (shape[0] as number), 0);
  const whole = NDArray.zeros([rows, ...first.shape.slice(1)], first.dtype);
  let at = 0;
  for (const { data } of values) {
    (whole.data as Float32Array).set(data as Float32Array, at);
    at += data.length;
  }
  return whole;
}

/** What a program's file says about itself beside its graph, as JSON in the ONNX metadata; read as strictly as written. */
import { type DType, dtypes, fail, type RandomAttributes, type Shape } from "../tensor/index.js";

export const manifestKey = "layerwise.program";

export interface Manifest {
  /** Where its random streams and their counter stood. */
  readonly seed: number;
  readonly step: number;
  /** Name for the user → name in the graph. */
  readonly inputs: ReadonlyMap<string, string>;
  readonly outputs: readonly string[];
  readonly observed: ReadonlyMap<string, string>;
  /** Variable's name in the graph → name of its next value. */
  readonly updates: ReadonlyMap<string, string>;
  readonly random: readonly { readonly name: string; readonly attributes: RandomAttributes }[];
  /** Of the graph without its values, and of each value: damage is found and named without running anything. */
  readonly graphChecksum: number;
  readonly checksums: ReadonlyMap<string, number>;
  readonly probe: FileProbe;
}

export interface FileProbe {
  readonly feeds: ReadonlyMap<string, ProbeFeed>;
  /** Of outputs the values, of updates the change they make; by name in the graph. */
  readonly expected: ReadonlyMap<string, Sample>;
  /** Mean, root mean square and tolerance of each node's first output, in order. */
  readonly nodes: ReadonlyMap<string, readonly number[]>;
}

/** Values of an input, in base64; where they would be too many, what range to draw them from. */
export interface ProbeFeed {
  readonly dtype: DType;
  readonly shape: Shape;
  readonly base64: string;
  readonly range: readonly number[];
}

/** Evenly spread values of an array, its root mean square, and how far a right engine may be off. */
export interface Sample {
  readonly values: readonly number[];
  readonly rms: number;
  readonly tolerance: number;
}

/** JSON has neither maps nor numbers that are not finite. */
export const formatManifest = (manifest: Manifest): string =>
  JSON.stringify(manifest, (_, value: unknown) => {
    if (value instanceof Map) return [...value];
    return typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
  });

type Parser<T> = (value: unknown) => T;
const refuse = (): never => fail("file", "its description is not what save writes");

const text: Parser<string> = (value) => (typeof value === "string" ? value : refuse());
const number: Parser<number> = (value) => {
  if (typeof value === "number") return value;
  return value === "NaN" || value === "Infinity" || value === "-Infinity" ? Number(value) : refuse();
};
const count: Parser<number> = (value) => (Number.isSafeInteger(value) && Number(value) >= 0 ? Number(value) : refuse());
const among =
  <T extends string>(names: readonly T[]): Parser<T> =>
  (value) =>
    names.find((name) => name === value) ?? refuse();
const list =
  <T>(item: Parser<T>): Parser<T[]> =>
  (value) =>
    Array.isArray(value) ? value.map(item) : refuse();
const entries =
  <T>(item: Parser<T>): Parser<Map<string, T>> =>
  (value) => {
    const pairs = list((pair) => {
      const [name, own] = Array.isArray(pair) && pair.length === 2 ? (pair as [unknown, unknown]) : refuse();
      return [text(name), item(own)] as const;
    })(value);
    const map = new Map(pairs);
    return map.size === pairs.length ? map : refuse();
  };
const record =
  <T>(fields: { readonly [K in keyof T]: Parser<T[K]> }): Parser<T> =>
  (value) => {
    if (typeof value !== "object" || value === null) return refuse();
    return Object.fromEntries(
      Object.entries<Parser<unknown>>(fields).map(([name, parse]) => [
        name,
        parse(Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined),
      ]),
    ) as T;
  };

const sample = record<Sample>({ values: list(number), rms: number, tolerance: number });
const feed = record<ProbeFeed>({ dtype: among(dtypes), shape: list(count), base64: text, range: list(number) });
const attributes = record<RandomAttributes>({
  distribution: among(["uniform", "normal", "bernoulli"]),
  shape: list(count),
  site: text,
  p: number,
});
const manifest = record<Manifest>({
  seed: number,
  step: count,
  inputs: entries(text),
  outputs: list(text),
  observed: entries(text),
  updates: entries(text),
  random: list(record({ name: text, attributes })),
  graphChecksum: count,
  checksums: entries(count),
  probe: record<FileProbe>({ feeds: entries(feed), expected: entries(sample), nodes: entries(list(number)) }),
});

/** Throws a "file" error for anything but what `formatManifest` gives. */
export function parseManifest(json: string): Manifest {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return refuse();
  }
  return manifest(value);
}

import * as z from "zod";
import { schema } from "./config-schema.js";

/** One key of the configuration, as its schema describes it. */
export interface ConfigKey {
  readonly name: string;
  readonly description: string;
  /** Undefined where the key has none. */
  readonly default?: unknown;
  readonly example?: unknown;
  /** What it takes, in a few words, where the type leaves a question: "0 to 1", "cosine or wsd", "a list". */
  readonly values: string;
  readonly isRequired: boolean;
  /** The keys of a section, or of each entry of a list of sections. */
  readonly keys?: readonly ConfigKey[];
  readonly isList: boolean;
}

/** The parts of a JSON schema that zod writes for ours. */
interface Described {
  readonly description?: string;
  readonly default?: unknown;
  readonly examples?: readonly unknown[];
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
  readonly anyOf?: readonly Described[];
  readonly items?: Described;
  readonly properties?: Readonly<Record<string, Described>>;
  readonly required?: readonly string[];
}

/** Every key of a training configuration, in the schema's order. */
export const configKeys: readonly ConfigKey[] = keysOf(z.toJSONSchema(schema, { io: "input" }) as Described);

function keysOf({ properties = {}, required = [] }: Described): ConfigKey[] {
  return Object.entries(properties).map(([name, described]) => {
    const entry = described.items?.properties ? described.items : described;
    return {
      name,
      description: described.description ?? "",
      default: described.default,
      example: described.examples?.[0],
      values: valuesOf(described),
      isRequired: required.includes(name),
      isList: entry !== described,
      ...(entry.properties && { keys: keysOf(entry) }),
    };
  });
}

function valuesOf(key: Described): string {
  if (key.anyOf) return key.anyOf.map(valuesOf).filter(Boolean).join(" or ");
  if (key.enum)
    return key.enum
      .map(String)
      .join(", ")
      .replace(/, (?!.*, )/, " or ");
  if (key.type === "array") return "a list";
  if (key.type === "boolean") return "true or false";
  const { minimum: from, exclusiveMinimum: above, exclusiveMaximum: below } = key;
  // A whole number's own limit is not worth a word, nor is that a count counts from 0 or 1.
  const to = key.maximum === Number.MAX_SAFE_INTEGER ? undefined : key.maximum;
  if (from !== undefined && to !== undefined) return `${from} to ${to}`;
  if (from !== undefined && below !== undefined) return `${from} to below ${below}`;
  return above === undefined ? "" : `above ${above}`;
}

/** Defaults by dotted key: `{ "data.context": 256, … }`. */
export const configDefaults: ReadonlyMap<string, unknown> = new Map(
  configKeys.flatMap(({ name, keys, isList, default: value }) =>
    keys && !isList
      ? keys.map((key): [string, unknown] => [`${name}.${key.name}`, key.default])
      : [[name, value] as [string, unknown]],
  ),
);

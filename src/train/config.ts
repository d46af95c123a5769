import { stringify } from "yaml";
import type { z } from "zod";
import { openRegular, readFully } from "../data/disk.js";
import { closest } from "../nn/closest.js";
import { fail } from "../tensor/errors.js";
import { nearest } from "../tensor/nearest.js";
import { axolotlKeys, fromAxolotl } from "./axolotl.js";
import { type ConfigFile, schema, sections } from "./config-schema.js";
import { applyOverride, parseStrictYaml } from "./strict-yaml.js";

type Camel<S extends string> = S extends `${infer Head}_${infer Tail}` ? `${Head}${Capitalize<Camel<Tail>>}` : S;
type CamelKeys<T> = T extends readonly (infer E)[]
  ? CamelKeys<E>[]
  : T extends object
    ? { [K in keyof T as K extends string ? Camel<K> : K]: CamelKeys<T[K]> }
    : T;

/** A validated configuration: the file's keys in camelCase, defaults filled in. */
export type TrainConfig = CamelKeys<ConfigFile>;

export interface LoadedConfig {
  readonly config: TrainConfig;
  /** The same as YAML with every default written out: what a run folder keeps. */
  readonly yaml: string;
  /** What was read from another tool's configuration and has no effect here, or another one, in sentences. */
  readonly notices: readonly string[];
}

/**
 * Reads a training configuration and applies overrides such as `model.layers=4`.
 *
 * Keys are those of Hugging Face's trainer and axolotl (`learning_rate`, `micro_batch_size`, …); see `config-schema.ts`,
 * and `axolotl.ts` for what becomes of axolotl's others.
 * The YAML is read strictly (`parseStrictYaml`) and nothing is converted: a number in quotes is not a number.
 *
 * @throws LayerwiseError "config" naming the key, what was expected and what came, and for an unknown key the nearest
 * known one; "file" when the file cannot be read.
 */
export async function readConfig(path: string, overrides: readonly string[] = []): Promise<LoadedConfig> {
  const { handle, size } = await openRegular(path);
  try {
    const bytes = new Uint8Array(Math.min(size, 4_000_001));
    await readFully(handle, bytes, 0, path);
    return parseConfig(new TextDecoder().decode(bytes), overrides, path);
  } finally {
    await handle.close();
  }
}

/** `readConfig` for text. */
export function parseConfig(text: string, overrides: readonly string[] = [], where = "configuration"): LoadedConfig {
  const data = parseStrictYaml(text, where) ?? {};
  if (typeof data !== "object" || Array.isArray(data))
    return fail("config", `${where}: expected keys and values, e.g. "learning_rate: 1e-3"`);
  for (const override of overrides) applyOverride(data as Record<string, unknown>, override);
  const translated = fromAxolotl(data as Record<string, unknown>, where);
  const parsed = schema.safeParse(translated.data, { reportInput: true });
  if (!parsed.success) return fail("config", `${where}: ${onceKnown(sentences(parsed.error.issues))}`);
  return { config: camelKeys(parsed.data), yaml: stringify(parsed.data), notices: translated.notices };
}

type Issue = z.core.$ZodIssue;

/** As many as anyone reads. */
const mostSaid = 20;

function sentences(issues: readonly Issue[]): string {
  const single = issues.flatMap((issue) =>
    issue.code === "unrecognized_keys" ? issue.keys.map((key): Issue => ({ ...issue, keys: [key] })) : [issue],
  );
  const said = single.slice(0, mostSaid).map(sentence);
  return [...said, ...(single.length > mostSaid ? [`and ${single.length - mostSaid} more`] : [])].join("; ");
}

function sentence(issue: Issue): string {
  const key = issue.path.join(".");
  if (issue.code === "unrecognized_keys")
    return issue.keys.map((unknown) => unknownKey(issue.path, unknown)).join("; ");
  if (issue.code === "custom") return issue.message;
  if (issue.input === undefined) return `${key} is missing; expected ${expected(issue)}`;
  return `${key} is ${JSON.stringify(issue.input)?.slice(0, 200)}; expected ${expected(issue)}`;
}

const typeWords: Readonly<Record<string, string>> = {
  int: "a whole number",
  number: "a number",
  string: "text",
  array: "a list",
  boolean: "true or false",
  object: "keys and values",
};

function expected(issue: Issue): string {
  const whole = "origin" in issue && issue.origin === "int" ? "a whole number " : "";
  switch (issue.code) {
    case "invalid_type":
      return typeWords[issue.expected] ?? issue.expected;
    case "too_small":
      if (issue.origin === "string") return "some text";
      return `${whole || "a number "}${issue.inclusive ? "of at least" : "above"} ${issue.minimum}`;
    case "too_big":
      return `${whole || "a number "}${issue.inclusive ? "of at most" : "below"} ${issue.maximum}`;
    case "invalid_value":
      return `one of ${issue.values.join(", ")}`;
    case "invalid_union":
      return issue.errors.map((errors) => (errors[0] ? expected(errors[0]) : "")).join(" or ");
    default:
      return issue.message;
  }
}

/** The list of known keys is said once, at the first key that is not known. */
function onceKnown(message: string): string {
  const said = new Set<string>();
  return message.replace(/ ?\(?known: ([^)]+)\)/g, (whole, list: string) => {
    if (!said.has(list)) {
      said.add(list);
      return whole;
    }
    return whole.startsWith(" (") ? "" : ")";
  });
}

/** What people write out of habit with other tools, and what it is called here. */
const otherNames: Readonly<Record<string, string>> = {
  num_train_epochs: "num_epochs",
  batch_size: "micro_batch_size",
  per_device_train_batch_size: "micro_batch_size",
  lr: "learning_rate",
  lr_scheduler_type: "lr_scheduler",
  optim: "optimizer",
};

function unknownKey(path: readonly PropertyKey[], key: string): string {
  // In a list of sections the last name counts: datasets.0.pth is a key of datasets.
  const section = path.findLast((part) => typeof part === "string");
  const known = section === undefined ? Object.keys(schema.shape) : (sections[String(section)] ?? []);
  const prefix = path.map((part) => `${String(part)}.`).join("");
  if (key.length > 100) return `unknown key "${prefix}${key.slice(0, 100)}…"`;
  const habit = Object.hasOwn(otherNames, key) ? otherNames[key] : undefined;
  if (habit && path.length === 0) return `unknown key "${key}" (here it is ${habit})`;
  const guess = path.length === 0 ? nearest(key, [...known, ...axolotlKeys]) : undefined;
  if (guess !== undefined && !known.includes(guess)) return `unknown key "${key}" (did you mean axolotl's "${guess}"?)`;
  return `unknown key "${prefix}${key}"${closest(key, known)}`;
}

function camelKeys<T>(value: T): CamelKeys<T> {
  if (Array.isArray(value)) return value.map(camelKeys) as CamelKeys<T>;
  if (typeof value !== "object" || value === null) return value as CamelKeys<T>;
  const entries = Object.entries(value).map(([key, inner]) => [camel(key), camelKeys(inner)]);
  return Object.fromEntries(entries) as CamelKeys<T>;
}

const camel = (key: string): string => key.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());

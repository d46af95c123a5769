/** Reading a checkpoint's `config.json`: every key that changes the numbers is understood or refused, by name. */
import { fail } from "../../tensor/index.js";

export type JsonObject = Readonly<Record<string, unknown>>;

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Activations of encoders, by the name of a configuration, as our options call them. */
export const activations = {
  gelu: "gelu",
  gelu_new: "gelu-tanh",
  gelu_pytorch_tanh: "gelu-tanh",
  relu: "relu",
} as const;

/** Widths, tables and contexts. */
const largest = 2 ** 28;
const mostLayers = 1024;

export class HFConfig {
  constructor(
    readonly values: JsonObject,
    readonly where = "config.json",
  ) {}

  /** A positive whole number, no larger than any model has; without a default it must be there. */
  count(key: string, standard?: number, most = largest): number {
    const value = this.#given(key) ?? standard;
    if (!Number.isSafeInteger(value) || (value as number) < 1)
      return this.refuse(key, `expected a whole number of at least 1, got ${JSON.stringify(value)}`);
    if ((value as number) > most) this.refuse(key, `expected at most ${most}, got ${JSON.stringify(value)}`);
    return value as number;
  }

  /** A number of layers, each of which is made before any weight is looked at. */
  layers(key: string, standard?: number): number {
    return this.count(key, standard, mostLayers);
  }

  number(key: string, standard?: number): number {
    const value = this.#given(key) ?? standard;
    if (typeof value !== "number" || !Number.isFinite(value))
      return this.refuse(key, `expected a number, got ${JSON.stringify(value)}`);
    return value;
  }

  /** A number, or nothing where it is null or absent. */
  optional(key: string): number | undefined {
    return this.#given(key) === undefined ? undefined : this.number(key);
  }

  flag(key: string, standard: boolean): boolean {
    const value = this.#given(key) ?? standard;
    return typeof value === "boolean"
      ? value
      : this.refuse(key, `expected true or false, got ${JSON.stringify(value)}`);
  }

  /** One of the keys of `choices`, as what it stands for. */
  choice<T>(key: string, standard: string, choices: Readonly<Record<string, T>>): T {
    const value = this.#given(key) ?? standard;
    if (typeof value === "string" && Object.hasOwn(choices, value)) return choices[value] as T;
    return this.refuse(key, `${JSON.stringify(value)} is not supported; known: ${Object.keys(choices).join(", ")}`);
  }

  /** Refuse any value of a key but this one (or none at all). */
  only(key: string, value: unknown): void {
    const given = this.#given(key) ?? value;
    if (JSON.stringify(given) !== JSON.stringify(value))
      this.refuse(key, `${JSON.stringify(given)} is not supported; only ${JSON.stringify(value)} is`);
  }

  object(key: string): HFConfig | undefined {
    const value = this.#given(key);
    if (value === undefined) return undefined;
    if (!isObject(value)) return this.refuse(key, `expected an object, got ${JSON.stringify(value)}`);
    return new HFConfig(value, `${this.where}: ${key}`);
  }

  list(key: string): readonly unknown[] | undefined {
    const value = this.#given(key);
    return value === undefined || Array.isArray(value) ? value : this.refuse(key, "expected a list");
  }

  /** The same with other values for some keys. */
  with(values: JsonObject): HFConfig {
    return new HFConfig({ ...this.values, ...values }, this.where);
  }

  refuse(key: string, problem: string): never {
    return fail("file", `${this.where}: ${key}: ${problem}`);
  }

  #given(key: string): unknown {
    return Object.hasOwn(this.values, key) ? (this.values[key] ?? undefined) : undefined;
  }
}

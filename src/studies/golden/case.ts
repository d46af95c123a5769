/**
 * One file of reference numbers, as a checklist: every tensor in it is either an input that was used or an expectation
 * that was compared, and what is left over counts as a failure.
 */
import { fail, formatShape, type NDArray, sameShape } from "../../tensor/index.js";

/** Largest error allowed, relative to the largest magnitude of the expected tensor. */
export const tolerance = 1e-5;

export interface Check {
  readonly name: string;
  /** max |actual − expected| / max |expected|; absolute where the expectation is 0 (see `relativeError`). */
  readonly error: number;
  readonly tolerance: number;
  /** Why float32 cannot meet the usual tolerance here. */
  readonly because?: string;
}

export class GoldenCase {
  readonly checks: Check[] = [];
  private readonly used = new Set<string>();

  constructor(
    private readonly tensors: ReadonlyMap<string, NDArray>,
    readonly metadata: Readonly<Record<string, string>>,
  ) {}

  get names(): string[] {
    return [...this.tensors.keys()];
  }

  has(...names: readonly string[]): boolean {
    return names.every((name) => this.tensors.has(name));
  }

  /** An input. Throws where the file lacks it. */
  take(name: string): NDArray {
    this.used.add(name);
    return (
      this.tensors.get(name) ?? fail("file", `expected a tensor "${name}"; the file has ${this.names.length} others`)
    );
  }

  /** All inputs whose name starts with `prefix`, without it, kept where `keep` says so. */
  takeAll(prefix: string, keep: (name: string) => boolean = () => true): Map<string, NDArray> {
    const below = this.names.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
    return new Map(below.filter(keep).map((name) => [name, this.take(prefix + name)]));
  }

  text(key: string): string {
    return this.metadata[key] ?? fail("file", `expected "${key}" in the file's metadata`);
  }

  number(key: string): number {
    const value = Number(this.text(key));
    return Number.isFinite(value)
      ? value
      : fail("file", `expected metadata "${key}" to be a number, got "${this.text(key)}"`);
  }

  /** Python's "True" and "False"; absent is false. */
  flag(key: string): boolean {
    return this.metadata[key]?.toLowerCase() === "true";
  }

  /** Compare with the file's tensor, if it has one of this name. */
  compare(name: string, actual: NDArray | readonly number[], loose?: Pick<Check, "tolerance" | "because">): void {
    if (this.has(name)) this.expect(name, actual, this.take(name), loose);
  }

  /** Something that is zero but for rounding, on both sides: neither may exceed the tolerance times `scale`. */
  vanishes(name: string, actual: NDArray, scale: number): void {
    const largest = [...actual.toNumbers(), ...this.take(name).toNumbers()].reduce(
      (max, x) => Math.max(max, Math.abs(x)),
      0,
    );
    this.checks.push({ name, error: largest / scale, tolerance, because: "zero but for rounding, on both sides" });
  }

  /** Compare with an expectation that is no tensor of its own. */
  expect(
    name: string,
    actual: NDArray | readonly number[],
    expected: NDArray,
    loose?: Pick<Check, "tolerance" | "because">,
  ): void {
    const values = "shape" in actual ? actual.toNumbers() : actual;
    if ("shape" in actual ? !fits(actual, expected) : values.length !== expected.size)
      fail(
        "shape",
        `${name}: expected ${formatShape(expected.shape)}, got ${"shape" in actual ? formatShape(actual.shape) : values.length}`,
      );
    this.checks.push({ name, error: relativeError(values, expected.toNumbers()), tolerance, ...loose });
  }

  /** Record that a number must be at least `least`: for controls that have to differ. */
  atLeast(name: string, value: number, least: number): void {
    this.checks.push({ name, error: value >= least ? 0 : Number.POSITIVE_INFINITY, tolerance });
  }

  get unused(): string[] {
    return this.names.filter((name) => !this.used.has(name));
  }
}

/** The same shape; a scalar may be stored as [1]. */
const fits = (a: NDArray, b: NDArray): boolean => sameShape(a.shape, b.shape) || (a.size === 1 && b.size === 1);

/**
 * An expectation that is 0 up to the rounding of the float64 it was computed in (the gradient of a key bias, the norm
 * of a constant) has no magnitude to be relative to: the error is then absolute.
 */
const zero = 1e-9;

export function relativeError(actual: readonly number[], expected: readonly number[]): number {
  let [difference, magnitude] = [0, 0];
  for (const [i, e] of expected.entries()) {
    difference = Math.max(difference, Math.abs((actual[i] as number) - e)); // NaN stays
    magnitude = Math.max(magnitude, Math.abs(e));
  }
  return difference / (magnitude > zero ? magnitude : 1);
}

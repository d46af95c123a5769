/**
 * The probe a program's file carries: inputs, the outputs and updates they must give, and two numbers for each node.
 * How far a right engine may be off is measured when the file is written, by running it again with every number
 * nudged by a few units in its last place: where a result is rounding and nothing else, the probe does not insist.
 */
import type { Rebuilt } from "../compile/onnx/rebuild.js";
import {
  allocate,
  bytesPerElement,
  type DeviceArray,
  type DType,
  fail,
  formatShape,
  isFloat,
  NDArray,
  philoxUniform,
  sizeOf,
} from "../tensor/index.js";
import type { Backend } from "./backend.js";
import { type Arrays, feedsOf, type Runnable } from "./execute.js";
import type { FileProbe, ProbeFeed, Sample } from "./manifest.js";
import { type Signatures, signer } from "./signature.js";

/** Values kept of each array; of larger ones an evenly spread sample. */
const sampleSize = 64;
/** Bytes of inputs that a probe may take; larger ones are drawn anew, in the range they had. */
const feedLimit = 2 ** 18;
/** Numbers that such an input may have. */
const mostDrawn = 2 ** 28;
/** Engines order sums differently and round some functions coarsely; a wrong kernel is off by much more. */
const relative: Partial<Record<DType, number>> = { float16: 2e-2, float32: 2e-3, float64: 2e-3 };
/** A few units in the last place. */
const nudge: Partial<Record<DType, number>> = { float16: 4e-3, float32: 1e-6, float64: 1e-6 };
/** How many times what a nudge changes. */
const margin = 10;
const position = { seed: 1, step: 0 };

export type Probed = Omit<Runnable, "observed">;

/** Run the program on `feeds`, or on ones like them, and write down what came out. */
export async function makeProbe(program: Probed, rebuilt: Rebuilt, feeds: Arrays): Promise<FileProbe> {
  const size = Object.values(feeds).reduce((sum, { data }) => sum + data.byteLength, 0);
  const stored = new Map(Object.entries(feeds).map(([name, array]) => [name, store(array, size <= feedLimit)]));
  const fed = await feedsOf(program, arraysOf(stored), position);
  const nudged = new Map(
    await Promise.all(
      Array.from(fed, async ([name, array]) => [name, await nudgedCopy(program.backend, array)] as const),
    ),
  );
  const [values, others] = [await results(program, fed), await results(program, nudged)];
  const signing = await signer(program.backend, rebuilt);
  const [nodes, otherNodes] = [await signing.sign(fed), await signing.sign(nudged)];
  await signing.release();
  return {
    feeds: stored,
    expected: new Map(
      Array.from(values, ([name, value]) => [name, withTolerance(value, others.get(name) as Measured)]),
    ),
    nodes: new Map(
      Array.from(nodes, ([name, [mean, rms]]) => {
        const [otherMean, otherRms] = otherNodes.get(name) as readonly [number, number];
        const apart = Math.max(gap(mean, otherMean), gap(rms, otherRms));
        const scale = Math.max(Math.abs(finite(mean)), finite(rms));
        return [name, [brief(mean), brief(rms), brief(Math.max(5e-3 * scale, margin * apart))]];
      }),
    ),
  };
}

export interface Mismatch {
  /** What came out wrong: an output, or the next value of a variable. */
  readonly value: string;
  /** The first node that is wrong; none where every node by itself is right. */
  readonly node: string | undefined;
}

/** Run the probe; undefined where this engine gives its numbers. `insist`: look at every node in any case. */
export async function runProbe(
  program: Probed,
  rebuilt: Rebuilt,
  { feeds, expected, nodes }: FileProbe,
  insist: boolean,
): Promise<Mismatch | undefined> {
  const fed = await feedsOf(program, arraysOf(feeds), position);
  const values = await results(program, fed);
  const wrong = [...values].find(([name, value]) => differs(value, expected.get(name)));
  if (!wrong && !insist) return undefined;
  const signing = await signer(program.backend, rebuilt);
  const node = firstWrong(await signing.sign(fed), nodes);
  await signing.release();
  return wrong || node !== undefined ? { value: wrong?.[0] ?? "", node } : undefined;
}

function firstWrong(got: Signatures, expected: FileProbe["nodes"]): string | undefined {
  for (const [name, pair] of got) {
    const [mean, rms, tolerance = 0] = expected.get(name) ?? [Number.NaN, Number.NaN];
    if (!(near(pair[0], mean as number, tolerance) && near(pair[1], rms as number, tolerance))) return name;
  }
  return undefined;
}

type Measured = Pick<Sample, "values" | "rms"> & { readonly floor: number };

/** Samples of all outputs; of updates, the change they make to their variable. */
async function results(
  { session, outputs, updates, variables }: Probed,
  fed: ReadonlyMap<string, DeviceArray>,
): Promise<Map<string, Measured>> {
  const found = new Map<string, Measured>();
  const given = await session.run(fed, [...outputs, ...updates.values()], new Map());
  for (const name of outputs) {
    const array = await (given.get(name) as DeviceArray).read();
    found.set(
      name,
      measure(array, (i) => array.at(i), 0),
    );
  }
  for (const [variable, name] of updates) {
    const written = given.get(name) as DeviceArray;
    const next = await written.read();
    const inner = variables.get(variable);
    const before = inner === undefined ? await variable.data() : await (fed.get(inner) as DeviceArray).read();
    const { rms } = measure(before, (i) => before.at(i), 0);
    // What is left of a difference of two such numbers after rounding.
    found.set(
      name,
      measure(next, (i) => next.at(i) - before.at(i), (nudge[variable.dtype] ?? 0) * finite(rms)),
    );
    written.release();
  }
  return found;
}

function measure({ size, dtype }: NDArray, at: (i: number) => number, rounding: number): Measured {
  const count = Math.min(sampleSize, size);
  let sum = 0;
  for (let i = 0; i < size; i++) sum += at(i) ** 2;
  const rms = Math.sqrt(sum / Math.max(1, size));
  return {
    values: Array.from({ length: count }, (_, i) => brief(at(Math.floor((i * size) / count)))),
    rms: brief(rms),
    floor: (relative[dtype] ?? 0) * finite(rms) + rounding,
  };
}

function withTolerance({ values, rms, floor }: Measured, other: Measured): Sample {
  const apart = values.reduce((most, v, i) => Math.max(most, gap(v, other.values[i] as number)), gap(rms, other.rms));
  return { values, rms, tolerance: brief(Math.max(floor, margin * apart)) };
}

const differs = ({ values, rms }: Measured, expected: Sample | undefined): boolean =>
  !expected ||
  values.length !== expected.values.length ||
  !near(rms, expected.rms, expected.tolerance) ||
  values.some((v, i) => !near(v, expected.values[i] as number, expected.tolerance));

const gap = (a: number, b: number): number => {
  if (Object.is(a, b)) return 0;
  const apart = Math.abs(a - b);
  return Number.isFinite(apart) ? apart : Number.POSITIVE_INFINITY;
};
const near = (a: number, b: number, tolerance: number): boolean => gap(a, b) <= tolerance;
const finite = (x: number): number => (Number.isFinite(x) ? x : 0);
/** Nine digits hold a float32. */
const brief = (x: number): number => Number(x.toPrecision(9));

async function nudgedCopy(backend: Backend, array: DeviceArray): Promise<DeviceArray> {
  const { data, shape, dtype } = await array.read();
  const part = nudge[dtype];
  if (part === undefined) return array;
  const plain = new NDArray(data, shape, dtype);
  const moved = Float64Array.from({ length: plain.size }, (_, i) => plain.at(i) * (1 + (i % 2 ? part : -part)));
  return backend.upload(NDArray.from(moved, dtype, shape));
}

function store(array: NDArray, whole: boolean): ProbeFeed {
  const { dtype, shape, data } = array;
  if (whole)
    return { dtype, shape, base64: toBase64(new Uint8Array(data.buffer, data.byteOffset, data.byteLength)), range: [] };
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (let i = 0; i < array.size; i++) {
    const value = array.at(i);
    if (!Number.isFinite(value)) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (low > high) [low, high] = [0, 1];
  return { dtype, shape, base64: "", range: [low, high] };
}

const arraysOf = (feeds: FileProbe["feeds"]): Arrays =>
  Object.fromEntries(Array.from(feeds, ([name, stored]) => [name, restore(name, stored)]));

function restore(name: string, { dtype, shape, base64, range: [low, high] }: ProbeFeed): NDArray {
  const size = sizeOf(shape);
  if (size > mostDrawn)
    fail("file", `the probe's input "${name}" is ${formatShape(shape)}, more than ${mostDrawn} numbers`);
  if (low !== undefined && high !== undefined) {
    const place = (u: number) => (isFloat(dtype) ? low + u * (high - low) : Math.floor(low + u * (high - low + 1)));
    return NDArray.from(Array.from(philoxUniform({ seed: 1, site: `probe.${name}` }, size), place), dtype, shape);
  }
  const bytes = fromBase64(base64);
  if (bytes.length !== size * bytesPerElement(dtype))
    fail("file", `the probe's input "${name}" has ${bytes.length} bytes`);
  const data = allocate(dtype, size);
  new Uint8Array(data.buffer).set(bytes);
  return new NDArray(data, shape, dtype);
}

const toBase64 = (bytes: Uint8Array): string => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));

function fromBase64(text: string): Uint8Array {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch (error) {
    return fail("file", "the probe's inputs are not base64", { cause: error });
  }
}

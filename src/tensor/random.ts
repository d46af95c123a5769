/** Random tensors: leaves whose values the program draws anew at every run from (seed, step, site). */
import type { DType } from "./dtype.js";
import { add, mul } from "./elementwise.js";
import { fail } from "./errors.js";
import { NDArray } from "./ndarray.js";
import { philoxBernoulli, philoxNormal, philoxUniform, type Stream } from "./philox.js";
import { type Shape, sizeOf } from "./shape.js";
import { cast } from "./shaping.js";
import { defineSingle, type Tensor } from "./tensor.js";
import { nextSite } from "./trace.js";

export interface RandomAttributes {
  readonly distribution: "uniform" | "normal" | "bernoulli";
  readonly shape: Shape;
  readonly site: string;
  readonly p: number;
}

const makeRandom = defineSingle<RandomAttributes>({
  name: "random",
  infer: (_, { shape }) => ({ shape, dtype: "float32" }),
  flops: () => 0,
  lower: () => fail("trace", "random: leaves are bound by the program, not lowered"),
});

/** The numbers of a random leaf for one run. */
export function draw({ distribution, shape, p, site }: RandomAttributes, stream: Omit<Stream, "site">): Float32Array {
  const at = { ...stream, site };
  if (distribution === "uniform") return philoxUniform(at, sizeOf(shape));
  return distribution === "normal" ? philoxNormal(at, sizeOf(shape)) : philoxBernoulli(at, sizeOf(shape), p);
}

/** Standard normal numbers as a host array: the same for a (seed, site) wherever they are drawn. */
export const normalArray = (stream: Stream, shape: Shape): NDArray =>
  new NDArray(philoxNormal(stream, sizeOf(shape)), shape, "float32");

const leaf = (distribution: RandomAttributes["distribution"], shape: Shape, p = 0): Tensor =>
  makeRandom([], { distribution, shape, p, site: nextSite() });

/** Uniform in [low, high). */
function uniform(
  shape: Shape,
  {
    low = 0,
    high = 1,
    dtype = "float32",
  }: { readonly low?: number; readonly high?: number; readonly dtype?: DType } = {},
): Tensor {
  const unit = leaf("uniform", shape);
  return cast(low === 0 && high === 1 ? unit : add(mul(unit, high - low), low), dtype);
}

function normal(
  shape: Shape,
  {
    mean = 0,
    std = 1,
    dtype = "float32",
  }: { readonly mean?: number; readonly std?: number; readonly dtype?: DType } = {},
): Tensor {
  const unit = leaf("normal", shape);
  return cast(mean === 0 && std === 1 ? unit : add(mul(unit, std), mean), dtype);
}

/** 1 with probability p, else 0 (float32). */
function bernoulli(shape: Shape, { p = 0.5 }: { readonly p?: number } = {}): Tensor {
  if (!(p >= 0 && p <= 1)) fail("argument", `random.bernoulli: p must be in [0, 1], got ${p}`);
  return leaf("bernoulli", shape, p);
}

export const random = { uniform, normal, bernoulli };

/**
 * What one looks for in a tensor, over its finite values, in float64:
 *
 *   mean μ, population standard deviation σ, max |x|, norm ‖x‖₂, share of zeros,
 *   kurtosis = mean((x - μ)⁴) / σ⁴ (3 for a normal distribution), outliers = share of |x - μ| > 6σ
 *
 * The outlier threshold is that of "LLM.int8(): 8-bit Matrix Multiplication for Transformers at Scale", 2022, in units of
 * the tensor's own spread.
 */
import { type NDArray, sizeOf } from "../tensor/index.js";

export interface TensorStatistics {
  readonly count: number;
  readonly mean: number;
  readonly std: number;
  /** Largest |x|. */
  readonly maximum: number;
  readonly norm: number;
  /** Shares of all values, 0 to 1. */
  readonly zeros: number;
  readonly outliers: number;
  /** NaN where all values are equal. */
  readonly kurtosis: number;
  /** How many values are NaN or infinite; the others are what the rest is about. */
  readonly nonFinite: number;
}

/** Of an empty array, and of one without a finite value, everything but the counts is NaN. */
export function tensorStatistics(array: NDArray): TensorStatistics {
  let [sum, squares, maximum, zeros, nonFinite] = [0, 0, 0, 0, 0];
  const { size } = array;
  for (let i = 0; i < size; i++) {
    const x = array.at(i);
    if (!Number.isFinite(x)) {
      nonFinite++;
      continue;
    }
    sum += x;
    squares += x * x;
    maximum = Math.max(maximum, Math.abs(x));
    if (x === 0) zeros++;
  }
  const finite = size - nonFinite;
  if (finite === 0) return { ...nothing, count: size, nonFinite };
  const mean = sum / finite;
  const { second, fourth } = moments(array, mean, finite);
  const std = Math.sqrt(second);
  return {
    count: size,
    mean,
    std,
    maximum,
    norm: Math.sqrt(squares),
    zeros: zeros / size,
    outliers: std > 0 ? beyond(array, mean, 6 * std) / size : 0,
    kurtosis: second > 0 ? fourth / second ** 2 : Number.NaN,
    nonFinite,
  };
}

const nothing = {
  mean: Number.NaN,
  std: Number.NaN,
  maximum: Number.NaN,
  norm: Number.NaN,
  zeros: Number.NaN,
  outliers: Number.NaN,
  kurtosis: Number.NaN,
};

function moments(array: NDArray, mean: number, finite: number): { second: number; fourth: number } {
  let [second, fourth] = [0, 0];
  for (let i = 0; i < array.size; i++) {
    const x = array.at(i);
    if (!Number.isFinite(x)) continue;
    const square = (x - mean) ** 2;
    second += square;
    fourth += square * square;
  }
  return { second: second / finite, fourth: fourth / finite };
}

function beyond(array: NDArray, mean: number, distance: number): number {
  let count = 0;
  for (let i = 0; i < array.size; i++) {
    const apart = Math.abs(array.at(i) - mean);
    if (apart > distance && Number.isFinite(apart)) count++;
  }
  return count;
}

/** ‖x‖₂ of each row along the last axis: how large the vector of each token is. A scalar is one row. */
export function rowNorms(array: NDArray): number[] {
  const { shape } = array;
  const width = shape.at(-1) ?? 1;
  return Array.from({ length: sizeOf(shape.slice(0, -1)) }, (_, row) => {
    let sum = 0;
    for (let i = 0; i < width; i++) sum += array.at(row * width + i) ** 2;
    return Math.sqrt(sum);
  });
}

import { describe, expect, it } from "vitest";
import { formatDuration, formatMeasurement, formatNumber, formatP } from "../../src/report/index.js";

describe("formatNumber", () => {
  it.each([
    [0, "0"],
    [2.6437, "2.64"],
    [-2.6437, "−2.64"],
    [0.03123, "0.0312"],
    [5737.4, "5,740"],
    [429, "429"],
    [1234567, "1.23e6"],
    [0.00001234, "1.23e−5"],
    [9.999, "10.0"],
    [null, "–"],
    [Number.NaN, "–"],
    [Number.POSITIVE_INFINITY, "∞"],
    [Number.NEGATIVE_INFINITY, "−∞"],
  ])("%d is %s", (value, text) => {
    expect(formatNumber(value)).toBe(text);
  });
});

describe("formatMeasurement", () => {
  it.each([
    [2.98123, 0.0342, "2.981 ± 0.034"],
    [5737, 412, "5,737 ± 412"],
    [55.21, 3.14, "55.2 ± 3.1"],
    [-0.5, 0.25, "−0.50 ± 0.25"],
    [2.5, null, "2.500"],
    [2.5, 0, "2.500 ± 0"],
    [2e7, 3e5, "2e7 ± 300,000"],
    [null, null, "diverged"],
    [Number.NaN, 1, "diverged"],
  ])("%d with error %d is %s", (mean, standardError, text) => {
    expect(formatMeasurement({ label: "", mean, standardError })).toBe(text);
  });
});

describe("formatP", () => {
  it.each([
    [0.0031, "0.0031"],
    [0.16234, "0.16"],
    [0.99, "0.99"],
    [0.00001, "< 0.0001"],
    [0, "< 0.0001"],
    [1, "1"],
    [null, "–"],
  ])("%d is %s", (p, text) => {
    expect(formatP(p)).toBe(text);
  });
});

describe("formatDuration", () => {
  it.each([
    [42.4, "42 s"],
    [60, "1 min"],
    [370, "6 min 10 s"],
    [3900, "1 h 05 min"],
  ])("%d seconds are %s", (seconds, text) => {
    expect(formatDuration(seconds)).toBe(text);
  });
});

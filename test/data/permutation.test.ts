import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { keyedPermutation } from "../../src/data/permutation.js";

const all = (count: number, ...key: number[]): number[] =>
  Array.from({ length: count }, (_, i) => keyedPermutation(count, ...key)(i));

describe("a keyed permutation", () => {
  test.each([1, 2, 3, 4, 5, 16, 17, 1000])("of %i visits each index once", (count) => {
    expect(all(count, 7, 1).sort((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, i) => i));
  });

  test("stays inside counts far beyond 32 bits, without two indices meeting", () => {
    const count = 2 ** 50 - 3;
    const place = keyedPermutation(count, 1);
    const starts = fc.nat().map((n) => n * 400_000);
    fc.assert(
      fc.property(starts, starts, (a, b) => {
        expect(place(a)).toBeLessThan(count);
        expect(place(a) === place(b)).toBe(a === b);
      }),
    );
  });

  test("differs by seed, by epoch and in the high bits of a seed", () => {
    const orders = [all(100, 0, 0), all(100, 1, 0), all(100, 0, 1), all(100, 2 ** 40, 0)].map(String);
    expect(new Set(orders).size).toBe(4);
  });

  test("never changes: runs on other machines and versions depend on it", () => {
    expect(all(10, 1, 0)).toMatchInlineSnapshot(`
      [
        4,
        3,
        9,
        1,
        0,
        6,
        8,
        2,
        5,
        7,
      ]
    `);
  });

  test("scatters neighbours: the mean jump is near a third of the count", () => {
    const order = all(10_000, 3);
    const jumps = order.slice(1).map((value, i) => Math.abs(value - (order[i] as number)));
    expect(jumps.reduce((a, b) => a + b) / jumps.length / 10_000).toBeCloseTo(1 / 3, 1);
  });
});

import { describe, expect, it } from "vitest";
import { linalg, NDArray, normalArray } from "../../src/index.js";

/** Singular values falling by half, of [60, 40]. */
function falling(): NDArray {
  const u = linalg.qr(normalArray({ seed: 1, site: "u" }, [60, 40])).q.toNumbers();
  const v = linalg.qr(normalArray({ seed: 1, site: "v" }, [40, 40])).q.toNumbers();
  const values = Array.from({ length: 60 * 40 }, (_, at) => {
    const [i, j] = [Math.floor(at / 40), at % 40];
    return Array.from(
      { length: 40 },
      (_, k) => (u[i * 40 + k] as number) * 10 * 0.5 ** k * (v[j * 40 + k] as number),
    ).reduce((a, b) => a + b);
  });
  return NDArray.from(values, "float32", [60, 40]);
}

describe("randomised singular values", () => {
  it("are the exact ones where they fall fast, their vectors orthonormal, for wide and tall matrices", async () => {
    const tall = falling();
    const wide = NDArray.from(
      Array.from({ length: 2400 }, (_, at) => tall.at((at % 60) * 40 + Math.floor(at / 60))),
      "float32",
      [40, 60],
    );
    for (const a of [tall, wide]) {
      const { u, s, v } = await linalg.randomizedSvd(a, { rank: 6 });
      const exact = linalg.svd(a).s.toNumbers();
      expect([u.shape, s.shape, v.shape]).toEqual([[a.shape[0], 6], [6], [a.shape[1], 6]]);
      for (const [i, value] of s.toNumbers().entries()) expect(value / (exact[i] as number)).toBeCloseTo(1, 4);
      for (const q of [u, v])
        for (let i = 0; i < 6; i++)
          for (let j = 0; j < 6; j++) {
            const rows = q.shape[0] as number;
            const dot = Array.from({ length: rows }, (_, r) => q.at(r * 6 + i) * q.at(r * 6 + j)).reduce(
              (x, y) => x + y,
            );
            expect(dot).toBeCloseTo(Number(i === j), 4);
          }
      // A v = s u
      const columns = a.shape[1] as number;
      const av = Array.from({ length: columns }, (_, c) => a.at(c) * v.at(c * 6)).reduce((x, y) => x + y);
      expect(av).toBeCloseTo(s.at(0) * u.at(0), 3);
    }
  });

  it("are the same by seed, and refuse what is no matrix", async () => {
    const a = normalArray({ seed: 2, site: "a" }, [12, 9]);
    const [one, two] = [await linalg.randomizedSvd(a, { rank: 9 }), await linalg.randomizedSvd(a, { rank: 9 })];
    expect(two).toEqual(one);
    for (const [i, value] of linalg.svd(a).s.toNumbers().entries()) expect(one.s.at(i)).toBeCloseTo(value, 3);
    await expect(linalg.randomizedSvd(a, { rank: 10 })).rejects.toThrow("expected a rank from 1 to 9, got 10");
    await expect(linalg.randomizedSvd(NDArray.zeros([4]), { rank: 1 })).rejects.toThrow("expected a matrix, got [4]");
  });
});

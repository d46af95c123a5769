import { describe, expect, it } from "vitest";
import { linalg, NDArray, normalArray } from "../../src/index.js";

const random = (rows: number, columns: number, seed = 1): NDArray =>
  normalArray({ seed, site: "matrix" }, [rows, columns]);

/** A [m, k] times B [k, n], in plain numbers. */
function product(a: NDArray, b: NDArray): number[] {
  const [m, k, n] = [a.shape[0] as number, a.shape[1] as number, b.shape[1] as number];
  return Array.from({ length: m * n }, (_, i) => {
    let sum = 0;
    for (let j = 0; j < k; j++) sum += a.at(Math.floor(i / n) * k + j) * b.at(j * n + (i % n));
    return sum;
  });
}
function transposed(a: NDArray): NDArray {
  const [m, n] = a.shape as [number, number];
  return NDArray.from(
    Array.from({ length: m * n }, (_, i) => a.at((i % m) * n + Math.floor(i / m))),
    "float64",
    [n, m],
  );
}
const diagonal = (values: NDArray): NDArray => {
  const n = values.size;
  return NDArray.from(
    Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? values.at(i / (n + 1)) : 0)),
    "float64",
    [n, n],
  );
};
const multiply = (a: NDArray, b: NDArray): NDArray =>
  NDArray.from(product(a, b), "float64", [a.shape[0] as number, b.shape[1] as number]);
const identity = (n: number): NDArray => diagonal(NDArray.from(Array<number>(n).fill(1)));

function expectClose(actual: NDArray, expected: NDArray): void {
  expect(actual.shape).toEqual(expected.shape);
  for (let i = 0; i < expected.size; i++) expect(actual.at(i)).toBeCloseTo(expected.at(i), 10);
}
const gram = (a: NDArray): NDArray => multiply(transposed(a), a);

describe("symmetricEigen", () => {
  it("gives ascending values and unit vectors that make the matrix again", () => {
    const a = gram(random(9, 7));
    const { values, vectors } = linalg.symmetricEigen(a);
    expect(values.toNumbers()).toEqual([...values.toNumbers()].sort((x, y) => x - y));
    expectClose(gram(vectors), identity(7));
    expectClose(multiply(multiply(vectors, diagonal(values)), transposed(vectors)), a);
  });

  it("keeps the basis orthonormal where values are equal", () => {
    const { values, vectors } = linalg.symmetricEigen(identity(4));
    expect(values.toNumbers()).toEqual([1, 1, 1, 1]);
    expectClose(gram(vectors), identity(4));
  });

  it("knows the values of a small matrix", () => {
    expect(
      linalg
        .symmetricEigen(
          NDArray.from([
            [2, 1],
            [1, 2],
          ]),
        )
        .values.toNumbers(),
    ).toEqual([expect.closeTo(1, 12), expect.closeTo(3, 12)]);
  });
});

describe("svd", () => {
  it.each([
    [7, 4],
    [4, 7],
    [5, 5],
    [1, 3],
    [3, 1],
  ])("of [%d, %d] is thin, ordered, and makes it again", (m, n) => {
    const a = random(m, n);
    const { u, s, v } = linalg.svd(a);
    const r = Math.min(m, n);
    expect([u.shape, s.shape, v.shape]).toEqual([[m, r], [r], [n, r]]);
    expect(s.toNumbers()).toEqual([...s.toNumbers()].sort((x, y) => y - x));
    expectClose(gram(u), identity(r));
    expectClose(gram(v), identity(r));
    expectClose(multiply(multiply(u, diagonal(s)), transposed(v)), a);
  });

  it("has a singular value of 0 where rank is missing", () => {
    expect(
      linalg
        .svd(
          NDArray.from([
            [1, 2],
            [2, 4],
          ]),
        )
        .s.at(1),
    ).toBeCloseTo(0, 12);
  });
});

describe("qr", () => {
  it("gives an orthonormal Q and the triangular R with no negative diagonal", () => {
    const a = random(6, 4);
    const { q, r } = linalg.qr(a);
    expectClose(gram(q), identity(4));
    expectClose(multiply(q, r), a);
    for (let i = 0; i < 4; i++) {
      expect(r.at(i * 5)).toBeGreaterThan(0);
      for (let j = 0; j < i; j++) expect(r.at(i * 4 + j)).toBe(0);
    }
  });
});

describe("cholesky and solve", () => {
  it("factor and solve a positive definite system", () => {
    const a = gram(random(8, 5));
    const lower = linalg.cholesky(a);
    expect(lower.at(1)).toBe(0);
    expectClose(multiply(lower, transposed(lower)), a);
    const b = random(5, 2, 2);
    expectClose(multiply(a, linalg.solve(a, b)), b.cast("float64"));
  });

  it("solve for one right-hand side keeps its shape", () => {
    expectClose(
      linalg.solve(
        NDArray.from([
          [2, 0],
          [0, 4],
        ]),
        NDArray.from([2, 2]),
      ),
      NDArray.from([1, 0.5], "float64"),
    );
  });
});

describe("a matrix that does not fit is refused", () => {
  const wide = random(2, 3);
  it.each<[string, () => unknown, RegExp]>([
    ["not square", () => linalg.symmetricEigen(wide), /symmetricEigen: expected a square matrix, got \[2, 3\]/],
    [
      "not symmetric",
      () =>
        linalg.symmetricEigen(
          NDArray.from([
            [1, 2],
            [3, 1],
          ]),
        ),
      /\[0, 1\] is 2 and \[1, 0\] is 3/,
    ],
    ["not a matrix", () => linalg.svd(NDArray.from([1, 2])), /svd: expected a matrix .* got shape \[2\]/],
    ["empty", () => linalg.svd(NDArray.zeros([0, 2])), /expected a matrix with rows and columns/],
    ["not finite", () => linalg.svd(NDArray.from([[1, Number.NaN]])), /finite entries, got NaN at \[0, 1\]/],
    ["wider than high", () => linalg.qr(wide), /qr: expected at least as many rows as columns/],
    [
      "indefinite",
      () =>
        linalg.cholesky(
          NDArray.from([
            [1, 2],
            [2, 1],
          ]),
        ),
      /not positive definite/,
    ],
    [
      "singular",
      () =>
        linalg.solve(
          NDArray.from([
            [1, 2],
            [2, 4],
          ]),
          NDArray.from([1, 1]),
        ),
      /A is singular/,
    ],
    [
      "singular up to rounding",
      () =>
        linalg.solve(
          NDArray.from(
            [
              [0.1, 0.3],
              [0.2, 0.6],
            ],
            "float64",
          ),
          NDArray.from([1, 1]),
        ),
      /A is singular/,
    ],
    ["of other rows", () => linalg.solve(identity(2), NDArray.from([1, 2, 3])), /expected B \[2, …\]/],
  ])("%s", (_, call, message) => expect(call).toThrow(message));
});

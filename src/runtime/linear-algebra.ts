/**
 * Linear algebra: exact on the host for what is small (tensor/linear-algebra.ts), and by random projection, with the large
 * products done by the engine, where a matrix is too large for that and a few of its directions are enough.
 *
 *   Y = A Ω, Ω [n, k + p] normal;   Q from QR of Y, after q rounds of Q ← QR(A Aᵀ Q);   B = Qᵀ A;   A ≈ Q B = (Q U) S Vᵀ
 *
 * The expected error is within a small factor of the best rank-k one; each round makes it smaller where singular values
 * fall slowly. Source: "Finding Structure with Randomness: Probabilistic Algorithms for Constructing Approximate Matrix
 * Decompositions", 2011.
 */
import { fail, formatShape, NDArray, normalArray, type Tensor } from "../tensor/index.js";
import { qr, type Svd, svd } from "../tensor/linear-algebra.js";
import { compile } from "./program.js";

export * from "../tensor/linear-algebra.js";

export interface RandomizedSvdOptions {
  /** k, how many singular values. */
  readonly rank: number;
  /** p, columns more than that (default 8). */
  readonly oversample?: number;
  /** q, rounds of refinement (default 2). */
  readonly iterations?: number;
  readonly seed?: number;
}

/**
 * The largest `rank` singular values of a matrix [m, n] and their vectors, as `svd` gives them: u [m, rank], s [rank], v [n, rank],
 * from products in float32. Throws for what is no matrix, and for a rank that it does not have.
 */
export async function randomizedSvd(
  a: NDArray,
  { rank, oversample = 8, iterations = 2, seed = 0 }: RandomizedSvdOptions,
): Promise<Svd> {
  const [m, n] = a.shape;
  if (a.shape.length !== 2 || !m || !n)
    return fail("shape", `randomizedSvd: expected a matrix, got ${formatShape(a.shape)}`);
  const smaller = Math.min(m, n);
  if (!Number.isInteger(rank) || rank < 1 || rank > smaller)
    return fail("argument", `randomizedSvd: expected a rank from 1 to ${smaller}, got ${rank}`);
  const columns = Math.min(smaller, rank + oversample);
  // A matrix is given once: A X and Aᵀ X are one program each.
  const times = compile(({ a, x }: { a: Tensor; x: Tensor }) => ({ y: a.matmul(x) }));
  const transposedTimes = compile(({ a, x }: { a: Tensor; x: Tensor }) => ({ y: a.transpose().matmul(x) }));
  const single = a.cast("float32");
  const project = async (x: NDArray) => (await times({ a: single, x: x.cast("float32") })).y;
  const back = async (x: NDArray) => (await transposedTimes({ a: single, x: x.cast("float32") })).y;
  try {
    let basis = qr(await project(normalArray({ seed, site: "randomizedSvd" }, [n, columns]))).q;
    for (let i = 0; i < iterations; i++) basis = qr(await project(qr(await back(basis)).q)).q;
    // Bᵀ = Aᵀ Q = V S Wᵀ, so A ≈ (Q W) S Vᵀ.
    const { u: right, s, v: w } = svd(await back(basis));
    const left = compile(({ q, w }: { q: Tensor; w: Tensor }) => ({ u: q.matmul(w) }));
    const { u } = await left({ q: basis.cast("float32"), w: w.cast("float32") });
    await left.release();
    return { u: first(u, rank), s: NDArray.from(s.toNumbers().slice(0, rank), "float64"), v: first(right, rank) };
  } finally {
    await Promise.all([times.release(), transposedTimes.release()]);
  }
}

/** The first columns of a matrix. */
function first(a: NDArray, count: number): NDArray {
  const [rows, columns] = a.shape as [number, number];
  const values = a.toNumbers();
  return NDArray.from(
    Array.from({ length: rows * count }, (_, i) => values[Math.floor(i / count) * columns + (i % count)] as number),
    "float64",
    [rows, count],
  );
}

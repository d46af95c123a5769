/**
 * Decompositions of dense matrices on the host, in double precision: for what is found once and then used (graph
 * spectra, low-rank factors, whitening), not for what is trained through. Results are float64 arrays, row-major.
 */
import {
  CholeskyDecomposition,
  EigenvalueDecomposition,
  LuDecomposition,
  Matrix,
  QrDecomposition,
  SingularValueDecomposition,
} from "ml-matrix";
import { fail } from "./errors.js";
import { NDArray } from "./ndarray.js";
import { formatShape } from "./shape.js";

/** How far from its transpose a matrix may be, relative to its largest entry, and count as symmetric. */
const symmetryTolerance = 1e-6;

export interface SymmetricEigen {
  /** [n], ascending. */
  readonly values: NDArray;
  /** [n, n]: column i is the unit eigenvector of value i; its sign, and a basis of equal values, are arbitrary. */
  readonly vectors: NDArray;
}

/** A = V diag(λ) Vᵀ of a symmetric matrix [n, n]. Throws where it is not square, finite and symmetric. */
export function symmetricEigen(a: NDArray): SymmetricEigen {
  const matrix = symmetric("symmetricEigen", a);
  const n = matrix.rows;
  const found = new EigenvalueDecomposition(matrix, { assumeSymmetric: true });
  const order = found.realEigenvalues.map((_, i) => i);
  order.sort((i, j) => (found.realEigenvalues[i] as number) - (found.realEigenvalues[j] as number));
  return {
    values: vector(order.map((i) => found.realEigenvalues[i] as number)),
    vectors: array(n, n, (row, column) => found.eigenvectorMatrix.get(row, order[column] as number)),
  };
}

export interface Svd {
  /** [m, r], orthonormal columns. */
  readonly u: NDArray;
  /** [r], descending. */
  readonly s: NDArray;
  /** [n, r], orthonormal columns. */
  readonly v: NDArray;
}

/** A = U diag(s) Vᵀ of [m, n], thin: r = min(m, n). Throws where an entry is not finite. */
export function svd(a: NDArray): Svd {
  const matrix = matrixOf("svd", a);
  const r = Math.min(matrix.rows, matrix.columns);
  const found = new SingularValueDecomposition(matrix, { autoTranspose: true });
  const take = (m: Matrix): NDArray => array(m.rows, r, (i, j) => m.get(i, j));
  return {
    u: take(found.leftSingularVectors),
    s: vector(found.diagonal.slice(0, r)),
    v: take(found.rightSingularVectors),
  };
}

/**
 * A = Q R of [m, n], m ≥ n: Q [m, n] with orthonormal columns, R [n, n] upper triangular with no negative diagonal, so
 * that both are unique where A has full rank. Throws for more columns than rows and entries that are not finite.
 */
export function qr(a: NDArray): { readonly q: NDArray; readonly r: NDArray } {
  const matrix = matrixOf("qr", a);
  const [m, n] = [matrix.rows, matrix.columns];
  if (m < n) fail("shape", `qr: expected at least as many rows as columns, got ${formatShape(a.shape)}; transpose it`);
  const found = new QrDecomposition(matrix);
  const [q, r] = [found.orthogonalMatrix, found.upperTriangularMatrix];
  const sign = Array.from({ length: n }, (_, i) => (r.get(i, i) < 0 ? -1 : 1));
  return {
    q: array(m, n, (i, j) => q.get(i, j) * (sign[j] as number)),
    r: array(n, n, (i, j) => (j < i ? 0 : r.get(i, j) * (sign[i] as number))),
  };
}

/** The lower triangular L of A = L Lᵀ [n, n]. Throws where A is not symmetric and positive definite. */
export function cholesky(a: NDArray): NDArray {
  const found = new CholeskyDecomposition(symmetric("cholesky", a));
  if (!found.isPositiveDefinite())
    fail("numeric", "cholesky: the matrix is not positive definite; add a small multiple of the identity");
  const lower = found.lowerTriangularMatrix;
  return array(lower.rows, lower.columns, (i, j) => lower.get(i, j));
}

/** X of A X = B: A [n, n], B [n] or [n, k], X of B's shape. Throws where A is singular or the shapes do not fit. */
export function solve(a: NDArray, b: NDArray): NDArray {
  const left = square("solve", a);
  const right = matrixOf("solve", b.shape.length === 1 ? b.reshape([b.size, 1]) : b);
  if (right.rows !== left.rows)
    fail("shape", `solve: A is ${formatShape(a.shape)}, B ${formatShape(b.shape)}; expected B [${left.rows}, …]`);
  const found = new LuDecomposition(left);
  const pivots = found.upperTriangularMatrix.diagonal().map(Math.abs);
  // A pivot that is only rounding: such a matrix is singular to all of its digits.
  if (!(Math.min(...pivots) > pivots.length * Number.EPSILON * Math.max(...pivots)))
    fail("numeric", "solve: A is singular; a system with many or no solutions needs svd");
  const x = found.solve(right);
  return array(x.rows, x.columns, (i, j) => x.get(i, j)).reshape(b.shape);
}

function matrixOf(name: string, a: NDArray): Matrix {
  if (a.shape.length !== 2 || a.size === 0)
    fail("shape", `${name}: expected a matrix with rows and columns, got shape ${formatShape(a.shape)}`);
  const [rows, columns] = a.shape as [number, number];
  const matrix = Matrix.zeros(rows, columns);
  for (let i = 0; i < a.size; i++) {
    const value = a.at(i);
    const [row, column] = [Math.floor(i / columns), i % columns];
    if (!Number.isFinite(value))
      fail("numeric", `${name}: expected finite entries, got ${value} at [${row}, ${column}]`);
    matrix.set(row, column, value);
  }
  return matrix;
}

function square(name: string, a: NDArray): Matrix {
  const matrix = matrixOf(name, a);
  return matrix.isSquare() ? matrix : fail("shape", `${name}: expected a square matrix, got ${formatShape(a.shape)}`);
}

/** The matrix with what float32 left of an asymmetry averaged out. */
function symmetric(name: string, a: NDArray): Matrix {
  const matrix = square(name, a);
  const transposed = matrix.transpose();
  const allowed = symmetryTolerance * Matrix.abs(matrix).max();
  const difference = Matrix.sub(matrix, transposed).abs();
  const [row, column] = difference.maxIndex();
  if (difference.max() > allowed)
    fail(
      "argument",
      `${name}: expected a symmetric matrix; [${row}, ${column}] is ${matrix.get(row, column)} and [${column}, ${row}] is ${matrix.get(column, row)}`,
    );
  return Matrix.add(matrix, transposed).mul(0.5);
}

const vector = (values: readonly number[]): NDArray => NDArray.from(values, "float64", [values.length]);

function array(rows: number, columns: number, at: (row: number, column: number) => number): NDArray {
  const data = new Float64Array(rows * columns);
  for (let i = 0; i < data.length; i++) data[i] = at(Math.floor(i / columns), i % columns);
  return new NDArray(data, [rows, columns], "float64");
}

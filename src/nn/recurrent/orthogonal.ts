/** Matrices that neither stretch nor shrink what passes through them: how recurrent weights start. */
import { fail, NDArray, philoxNormal, type Stream } from "../../tensor/index.js";

/**
 * A random matrix [rows, columns] whose shorter side is orthonormal (WᵀW = I or WWᵀ = I), uniform over such matrices:
 * Gram-Schmidt, twice for accuracy, on normal vectors. Source: "Exact solutions to the nonlinear dynamics of learning in
 * deep linear neural networks", 2013. Throws for sizes that are no positive whole numbers.
 */
export function orthogonal(rows: number, columns: number, stream: Stream): NDArray {
  if (![rows, columns].every((n) => Number.isInteger(n) && n > 0))
    fail("argument", `orthogonal: expected positive whole sizes, got [${rows}, ${columns}]`);
  const [count, length] = [Math.min(rows, columns), Math.max(rows, columns)];
  const flat = orthonormalRows(philoxNormal(stream, count * length), length);
  const at = (i: number, j: number) => flat[rows <= columns ? i * length + j : j * length + i] as number;
  const values = Float32Array.from({ length: rows * columns }, (_, k) => at(Math.floor(k / columns), k % columns));
  return NDArray.from(values, "float32", [rows, columns]);
}

/** Blocks [H, H] below each other, each made orthogonal. */
export function orthogonalBlocks(drawn: Float32Array, H: number): Float32Array {
  const result = new Float32Array(drawn.length);
  for (let start = 0; start < drawn.length; start += H * H)
    result.set(orthonormalRows(drawn.subarray(start, start + H * H), H), start);
  return result;
}

/** Rows of this length, made orthonormal one after the other. Rows of zeros (not drawn yet) stay. */
function orthonormalRows(flat: Float32Array, length: number): Float32Array {
  const rows: Float64Array[] = [];
  for (let start = 0; start < flat.length; start += length) {
    const v = Float64Array.from(flat.subarray(start, start + length));
    for (const u of [...rows, ...rows]) subtract(v, u);
    const norm = Math.sqrt(v.reduce((sum, x) => sum + x * x, 0));
    rows.push(norm > 0 ? v.map((x) => x / norm) : v);
  }
  return Float32Array.from(rows.flatMap((row) => [...row]));
}

/** v minus its part along the unit vector u. */
function subtract(v: Float64Array, u: Float64Array): void {
  let along = 0;
  for (let i = 0; i < v.length; i++) along += (v[i] as number) * (u[i] as number);
  for (let i = 0; i < v.length; i++) v[i] = (v[i] as number) - along * (u[i] as number);
}
